//! Writes the first frame of a preset as PNG: `look PRESET SEED OUT.png`.
use velo_scenes::{description::presets, generate::Generator, render::Renderer};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let g = Generator::new(presets::named(&a[1]).unwrap()).unwrap();
    let mut c = g.config().clone();
    let big = 6;
    c.image.width *= big; c.image.height *= big;
    let g = Generator::new(c).unwrap();
    let t = std::time::Instant::now();
    let d = g.draw(a[2].parse().unwrap()).unwrap();
    println!("draw {:?} {} objects {} collisions", t.elapsed(), d.scene.objects.len(), d.scene.collisions.len());
    let r = Renderer::new(&d.scene, &d.solids);
    let t = std::time::Instant::now();
    let f = d.scene.video.frames as i64 / 2;
    let rgb = r.rgb(&d.scene.cameras[0], f);
    println!("rgb {:?}", t.elapsed());
    let f = std::fs::File::create(&a[3]).unwrap();
    let mut e = png::Encoder::new(f, d.scene.image.width as u32, d.scene.image.height as u32);
    e.set_color(png::ColorType::Rgb);
    e.write_header().unwrap().write_image_data(&rgb).unwrap();
}

//! The words that objects are described by: shapes, colours, materials, sizes.

use serde::{Deserialize, Serialize};

/// Declares an enum with the list of its values and their names in files of other formats.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl $name {
            /// All values, in order.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Its name in lower case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }
    };
}

words! {
    /// What an object is.
    Shape {
        /// A box with equal edges.
        Cube = "cube",
        /// A ball.
        Sphere = "sphere",
        /// A cylinder as high as wide.
        Cylinder = "cylinder",
        /// A cone as high as wide.
        Cone = "cone",
        /// A cylinder with round ends.
        Capsule = "capsule",
        /// A ring.
        Torus = "ring",
        /// A gear wheel with a random number of teeth.
        Gear = "gear",
        /// Two arms at a right angle.
        Bracket = "bracket",
        /// A knotted tube.
        Knot = "knot",
        /// A ball with random bumps.
        Rock = "rock",
        /// A flat square.
        Square = "square",
        /// A flat disc.
        Disc = "disc",
        /// A flat triangle.
        Triangle = "triangle",
        /// A flat star with five points.
        Star = "star",
        /// A flat cross.
        Cross = "cross",
        /// A plate with text on it.
        Sign = "sign",
        /// A mesh of the user's.
        Custom = "object",
    }
}

words! {
    /// Colours that have a word. The values are those of CLEVR.
    Color {
        /// 42 75 215.
        Blue = "blue",
        /// 129 74 25.
        Brown = "brown",
        /// 41 208 208.
        Cyan = "cyan",
        /// 87 87 87.
        Gray = "gray",
        /// 29 105 20.
        Green = "green",
        /// 129 38 192.
        Purple = "purple",
        /// 173 35 35.
        Red = "red",
        /// 255 238 51.
        Yellow = "yellow",
    }
}

impl Color {
    /// Display-encoded red, green and blue, 0 to 1.
    pub fn rgb(self) -> [f64; 3] {
        let bytes: [u8; 3] = match self {
            Self::Blue => [42, 75, 215],
            Self::Brown => [129, 74, 25],
            Self::Cyan => [41, 208, 208],
            Self::Gray => [87, 87, 87],
            Self::Green => [29, 105, 20],
            Self::Purple => [129, 38, 192],
            Self::Red => [173, 35, 35],
            Self::Yellow => [255, 238, 51],
        };
        bytes.map(|b| f64::from(b) / 255.0)
    }
}

words! {
    /// What an object is made of.
    Material {
        /// Matte, bounces, sticks.
        Rubber = "rubber",
        /// Mirrors its surroundings, heavy, slides.
        Metal = "metal",
        /// Its colour everywhere, not shaded: sprites and signs.
        Paper = "paper",
    }
}

words! {
    /// The two sizes that have a word.
    Size {
        /// The smaller one.
        Small = "small",
        /// The larger one.
        Large = "large",
    }
}

words! {
    /// Patterns of two colours, as functions of the place on the object.
    TextureKind {
        /// One colour.
        Plain = "plain",
        /// A three-dimensional chess board.
        Checker = "checker",
        /// Parallel stripes.
        Stripes = "stripes",
        /// Clouds of value noise.
        Noise = "noise",
        /// Rings around an axis, bent by noise.
        Rings = "rings",
        /// Dots.
        Dots = "dots",
    }
}

words! {
    /// What is known of every pixel. Pictures and arrays have the extents of the picture; units are those of the scene.
    Pass {
        /// Colour, 8 bits a channel, display-encoded.
        Rgb = "rgb",
        /// 16-bit ids: 0 floor and sky.
        Ids = "ids",
        /// Metres from the camera's centre; infinite for the sky.
        Distance = "distance",
        /// Metres along the camera's axis; infinite for the sky.
        Depth = "depth",
        /// Unit normal in the world, facing the camera; zero for the sky.
        Normal = "normal",
        /// Place in the object's own box, 0 to 1 along each axis; zero for floor and sky.
        Coordinates = "coordinates",
        /// Pixels (x, y) to where what is seen will be in the next picture.
        ForwardFlow = "forward_flow",
        /// Pixels (x, y) to where what is seen was in the previous picture.
        BackwardFlow = "backward_flow",
        /// Bits of [`crate::annotate::Flags`].
        Flags = "flags",
        /// Place on the surface, 0 to 1 along both directions ([`crate::geometry::Solid::uv`]); on the floor the fractions of
        /// its metres; zero for the sky. Optional.
        Uv = "uv",
        /// Unit normal in the camera's frame: x right, y up, z towards the camera; zero for the sky. Optional.
        CameraNormal = "camera_normal",
        /// Share of 16 points of each light that a surface faces which nothing hides from it, 0 (in shadow) to 1; zero for
        /// the sky and for what faces no light. Optional.
        Shadow = "shadow",
    }
}

impl Pass {
    /// Those that every scene of a data set has.
    pub const ALWAYS: [Self; 9] = [
        Self::Rgb,
        Self::Ids,
        Self::Distance,
        Self::Depth,
        Self::Normal,
        Self::Coordinates,
        Self::ForwardFlow,
        Self::BackwardFlow,
        Self::Flags,
    ];

    /// Names of its floating-point channels; empty for those of whole numbers.
    pub fn channels(self) -> &'static [&'static str] {
        match self {
            Self::Rgb | Self::Ids | Self::Flags => &[],
            Self::Distance => &["D"],
            Self::Depth => &["Z"],
            Self::Normal | Self::Coordinates | Self::CameraNormal => &["X", "Y", "Z"],
            Self::ForwardFlow | Self::BackwardFlow => &["X", "Y"],
            Self::Uv => &["U", "V"],
            Self::Shadow => &["S"],
        }
    }
}

words! {
    /// Which part of a data set a scene belongs to.
    Split {
        /// To learn from; never shows what is held out.
        Train = "train",
        /// To choose by; drawn like the training split.
        Validation = "validation",
        /// To judge by; shows what is held out.
        Test = "test",
    }
}

words! {
    /// Languages that text is written in.
    Language {
        /// English.
        English = "en",
        /// German.
        German = "de",
        /// French.
        French = "fr",
        /// Spanish.
        Spanish = "es",
        /// Italian.
        Italian = "it",
        /// Portuguese.
        Portuguese = "pt",
        /// Turkish.
        Turkish = "tr",
        /// Russian, in Cyrillic letters.
        Russian = "ru",
    }
}

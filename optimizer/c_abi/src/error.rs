//! How failures cross the border: a status or a null pointer, and a text that stays with the thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call came to.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VeloStatus {
    /// Done.
    Ok = 0,
    /// Something was not finite; nothing changed.
    Skipped = 1,
    /// Nothing changed; see [`velo_last_error`].
    Error = 2,
}

/// Why a call is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    Null(&'static str),
    NotUtf8(&'static str),
    TooManyAxes(usize),
    Json(serde_json::Error),
    Number { what: &'static str, value: f32, most: f32 },
    SmallBuffer { capacity: usize, needed: usize },
    Optimizer(velo_optimizer::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null(what) => write!(f, "{what} is a null pointer"),
            Self::NotUtf8(what) => write!(f, "{what} is not UTF-8"),
            Self::TooManyAxes(axes) => write!(f, "a tensor has {axes} axes, expected at most {}", crate::MAX_AXES),
            Self::Json(error) => write!(f, "json: {error}"),
            Self::Number { what, value, most } => write!(f, "{what} is {value}, expected a number from 0 to {most}"),
            Self::SmallBuffer { capacity, needed } => {
                write!(f, "buffer has room for {capacity} bytes, the state has {needed}")
            }
            Self::Optimizer(error) => error.fmt(f),
        }
    }
}

impl From<velo_optimizer::Error> for Refusal {
    fn from(error: velo_optimizer::Error) -> Self {
        Self::Optimizer(error)
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

fn remember(message: &str) {
    // A zero inside the message would end it early in C.
    let message = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
    LAST_ERROR.with(|last| *last.borrow_mut() = message);
}

/// What a pointer points to.
pub(crate) fn required<T>(what: &'static str, pointee: Option<T>) -> Result<T, Refusal> {
    pointee.ok_or(Refusal::Null(what))
}

/// Runs `call`; a refusal or a panic is remembered and gives `failed`.
pub(crate) fn guarded<T>(failed: T, call: impl FnOnce() -> Result<T, Refusal>) -> T {
    // Unwinding through C is undefined. A panic is a bug of this library, and its message has been printed.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => value,
        Ok(Err(refusal)) => {
            remember(&refusal.to_string());
            failed
        }
        Err(_) => {
            remember("a bug in velo-optimizer; the optimizer must not be used any more");
            failed
        }
    }
}

/// [`guarded`] for calls that only succeed or fail.
pub(crate) fn status(call: impl FnOnce() -> Result<(), Refusal>) -> VeloStatus {
    guarded(VeloStatus::Error, || call().map(|()| VeloStatus::Ok))
}

/// The last error of this thread, ending with a zero; valid until its next call.
#[unsafe(no_mangle)]
pub extern "C" fn velo_last_error() -> *const c_char {
    LAST_ERROR.with(|last| last.borrow().as_ptr())
}

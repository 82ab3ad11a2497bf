//! Domains of hyper-parameters, checked once when a rule is built.
//!
//! Every function takes the name of the field and its value and returns [`Error::InvalidHyperParameter`]
//! naming both when the value lies outside.

use crate::Error;

/// A finite number `≥ 0`: learning rates, weight decays, epsilons that may be switched off.
pub(crate) fn non_negative(field: &'static str, value: f32) -> Result<(), Error> {
    check(value.is_finite() && value >= 0.0, field, value, "a finite number of at least 0")
}

/// A finite number `> 0`.
pub(crate) fn positive(field: &'static str, value: f32) -> Result<(), Error> {
    check(value.is_finite() && value > 0.0, field, value, "a finite number above 0")
}

/// A decay of a running average, in `[0, 1)`.
pub(crate) fn decay(field: &'static str, value: f32) -> Result<(), Error> {
    check((0.0..1.0).contains(&value), field, value, "a decay in [0, 1)")
}

/// An integer `≥ 1`.
pub(crate) fn at_least_one(field: &'static str, value: u64) -> Result<(), Error> {
    check(value >= 1, field, value, "at least 1")
}

fn check(holds: bool, field: &'static str, found: impl ToString, expected: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::InvalidHyperParameter { field, found: found.to_string(), expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_in_no_domain() {
        for domain in [non_negative, positive, decay] {
            assert!(domain("x", f32::NAN).is_err());
        }
    }

    #[test]
    fn a_refusal_names_field_value_and_domain() {
        assert_eq!(decay("beta1", 1.0).unwrap_err().to_string(), "beta1 is 1, expected a decay in [0, 1)");
        assert_eq!(positive("epsilon", 0.0).unwrap_err().to_string(), "epsilon is 0, expected a finite number above 0");
    }
}

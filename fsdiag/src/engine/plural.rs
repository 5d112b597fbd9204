//! Plural: numbers with their noun and verb, as a person would write them.

/// `1 operation`, `3 operations`.
pub fn count(n: impl TryInto<u64>, one: &str) -> String {
    let n = number(n);
    format!("{n} {one}{}", ending(n))
}

/// `s` behind a noun; nothing where it is one.
pub fn ending(n: impl TryInto<u64>) -> &'static str {
    verb(n, "", "s")
}

/// `waits` or `wait`.
pub fn verb(n: impl TryInto<u64>, one: &'static str, many: &'static str) -> &'static str {
    if number(n) == 1 { one } else { many }
}

fn number(n: impl TryInto<u64>) -> u64 {
    n.try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let said = |n: u64| format!("{} {}", count(n, "request"), verb(n, "waits", "wait"));
        assert_eq!([0, 1, 2].map(said), ["0 requests wait", "1 request waits", "2 requests wait"]);
    }
}

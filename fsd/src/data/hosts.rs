//! Hosts: other hosts to which the pages of a source may lead. Without any, a page leads nowhere but to its own.

use std::{fmt, sync::Arc};

use super::origin::Resource;

/// Hosts that the user allows. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Arc<[Pattern]>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Every host below `name`, not `name` itself.
    below: bool,
    /// As URLs have it: lower case, Punycode.
    name: String,
    /// None: any.
    port: Option<u16>,
}

impl Hosts {
    /// Reads `host`, `*.domain` and either with `:port` behind it, apart by commas or spaces. None: something else.
    pub fn parse(text: &str) -> Option<Self> {
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.map(Pattern::parse).collect::<Option<Arc<[_]>>>().map(Self)
    }

    /// Whether a page may lead to `resource`.
    pub(super) fn allow(&self, resource: &Resource) -> bool {
        let (name, port) = (resource.host_name(), resource.port());
        self.0.iter().any(|pattern| pattern.fits(name) && pattern.port.is_none_or(|wanted| Some(wanted) == port))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (below, text) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let fit = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
        let resource = Resource::parse(&format!("http://{text}/")).ok().filter(|_| text.chars().all(fit))?;
        // A port that is the default one does not stand in the URL any more.
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(Self { below, name: resource.host_name().to_owned(), port })
    }

    fn fits(&self, name: &str) -> bool {
        match name.strip_suffix(&self.name) {
            Some(front) if self.below => front.len() > 1 && front.ends_with('.'),
            Some(front) => front.is_empty(),
            None => false,
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Pattern { below, name, port }) in self.0.iter().enumerate() {
            let (comma, star) = (if n > 0 { "," } else { "" }, if *below { "*." } else { "" });
            write!(f, "{comma}{star}{name}")?;
            port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_fits_its_own_pattern_and_no_other() {
        let allowed = |hosts: &str, url: &str| Hosts::parse(hosts).unwrap().allow(&Resource::parse(url).unwrap());
        for (hosts, url) in [
            ("CDN.example", "https://cdn.example/x"),
            ("a, cdn.example:80", "http://cdn.example/x"),
            ("*.example", "http://a.b.example:8080/x"),
            ("[::1]:81", "http://[::1]:81/x"),
            ("b\u{fc}cher.example", "http://xn--bcher-kva.example/x"),
        ] {
            assert!(allowed(hosts, url), "{hosts} {url}");
        }
        for (hosts, url) in [
            ("", "http://cdn.example/x"),
            ("cdn.example", "http://cdn.example.evil/x"),
            ("cdn.example", "http://evilcdn.example/x"),
            ("*.example", "http://example/x"),
            ("*.example", "http://evilexample/x"),
            ("cdn.example:8080", "http://cdn.example/x"),
            ("[::1]:81", "http://[::1]/x"),
        ] {
            assert!(!allowed(hosts, url), "{hosts} {url}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_and_what_is_one_reads_back() {
        for text in ["*", "*.", "http://h", "h/x", "u:p@h", "h:99999", "h?x", "a,b c/d"] {
            assert_eq!(Hosts::parse(text), None, "{text}");
        }
        for text in ["", "a", "*.a.b:80,c", "[::1]:8080"] {
            assert_eq!(Hosts::parse(text).unwrap().to_string(), text);
        }
    }
}

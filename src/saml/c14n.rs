//! Exclusive XML Canonicalization 1.0 without comments (xml-exc-c14n), of one element's subtree, with
//! an optional subtree left out (the enveloped signature) and an `InclusiveNamespaces` prefix list.
//! Wrong canonical bytes refuse a login, they cannot forge one: acceptance needs the identity
//! provider's key over the very bytes that are then read. Compared with libxml2 on random trees.

use memchr::{memchr, memchr3};
use model::Refusal;
use roxmltree::{Node, NodeId, NodeType};

/// Canonical bytes may be larger than the document, because declarations are repeated where they are
/// used; a long namespace URI used by thousands of siblings would grow it without end.
const OUTPUT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Limits hold documents to fewer levels; this is for canonical bytes parsed again.
const DEPTH_MAX: usize = 64;

const XML_PREFIX: &str = "xml";

/// The canonical form of `apex` without `skip`. `inclusive` are the prefixes of a `PrefixList`, where
/// `#default` is the empty prefix. Errors: `saml.relative_namespace`, `saml.canonical_too_large`.
pub(crate) fn exclusive<'a>(
    apex: Node<'a, 'a>,
    skip: Option<NodeId>,
    inclusive: &'a [&'a str],
) -> Result<String, Refusal> {
    let mut writer = Writer {
        input: apex.document().input_text(),
        skip,
        inclusive,
        rendered: Vec::with_capacity(8),
        out: String::with_capacity(apex.range().len() + 256),
        depth: 0,
    };
    writer.node(apex)?;
    Ok(writer.out)
}

struct Writer<'a> {
    input: &'a str,
    skip: Option<NodeId>,
    inclusive: &'a [&'a str],
    /// Prefix and URI as last written by an ancestor in the output; the innermost is last.
    rendered: Vec<(&'a str, &'a str)>,
    out: String,
    depth: usize,
}

impl<'a> Writer<'a> {
    fn node(&mut self, node: Node<'a, 'a>) -> Result<(), Refusal> {
        match node.node_type() {
            NodeType::Text => escape_text(&mut self.out, node.text().unwrap_or_default()),
            NodeType::Comment => {}
            NodeType::PI | NodeType::Root => return Err(Refusal::stranger("saml.processing_instruction")),
            NodeType::Element if self.skip == Some(node.id()) => {}
            NodeType::Element => self.element(node)?,
        }
        Ok(())
    }

    fn element(&mut self, element: Node<'a, 'a>) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refusal::stranger("saml.too_deep"));
        }
        let name = qname(self.input, element);
        let outer = self.rendered.len();
        self.out.push('<');
        self.out.push_str(name);
        self.namespaces(element, prefix_of(name))?;
        self.attributes(element);
        self.out.push('>');
        if self.out.len() > OUTPUT_BYTES_MAX {
            return Err(Refusal::stranger("saml.canonical_too_large"));
        }
        for child in element.children() {
            self.node(child)?;
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        self.rendered.truncate(outer);
        self.depth -= 1;
        Ok(())
    }

    /// Writes the declarations that are visibly utilised here, or listed, and not yet in force.
    fn namespaces(&mut self, element: Node<'a, 'a>, own_prefix: &'a str) -> Result<(), Refusal> {
        let first = self.rendered.len();
        self.declare(own_prefix, element.tag_name().namespace().unwrap_or_default(), first);
        for attribute in element.attributes() {
            let prefix = prefix_of(self.input.get(attribute.range_qname()).unwrap_or_default());
            if !prefix.is_empty() {
                self.declare(prefix, attribute.namespace().unwrap_or_default(), first);
            }
        }
        for listed in self.inclusive {
            if *listed == "#default" {
                self.declare("", element.lookup_namespace_uri(None).unwrap_or_default(), first);
            } else if let Some(uri) = element.lookup_namespace_uri(Some(listed)) {
                self.declare(listed, uri, first);
            }
        }
        let Some(new) = self.rendered.get_mut(first..) else { return Ok(()) };
        new.sort_unstable();
        for (prefix, uri) in new {
            // A relative URI has no canonical form (Canonical XML 1.0, 1.3): libxml2 answers it with
            // nothing at all, and the digest of nothing can be had from anywhere.
            if !uri.is_empty() && !uri.contains(':') {
                return Err(Refusal::stranger("saml.relative_namespace").with("namespace", uri));
            }
            self.out.push_str(" xmlns");
            if !prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            self.out.push_str("=\"");
            escape_attribute(&mut self.out, uri);
            self.out.push('"');
        }
        Ok(())
    }

    /// Notes a declaration to write, unless it is in force. `first` is where this element's own begin.
    fn declare(&mut self, prefix: &'a str, uri: &'a str, first: usize) {
        if prefix == XML_PREFIX {
            return;
        }
        match self.rendered.iter().rposition(|known| known.0 == prefix) {
            Some(at) if at >= first => {}
            Some(at) if self.rendered.get(at).is_some_and(|known| known.1 == uri) => {}
            None if prefix.is_empty() && uri.is_empty() => {}
            Some(_) | None => self.rendered.push((prefix, uri)),
        }
    }

    fn attributes(&mut self, element: Node<'a, 'a>) {
        let mut sorted: Vec<_> = element.attributes().collect();
        if sorted.len() > 1 {
            sorted.sort_unstable_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        }
        for attribute in sorted {
            self.out.push(' ');
            self.out.push_str(self.input.get(attribute.range_qname()).unwrap_or_default());
            self.out.push_str("=\"");
            escape_attribute(&mut self.out, attribute.value());
            self.out.push('"');
        }
    }
}

/// The element's name as written, prefix included: the parser keeps only its namespace.
fn qname<'a>(input: &'a str, element: Node<'_, '_>) -> &'a str {
    let tag = input.get(element.range().start + 1..).unwrap_or_default();
    let end = tag
        .bytes()
        .position(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>'))
        .unwrap_or(tag.len());
    tag.get(..end).unwrap_or_default()
}

fn prefix_of(qname: &str) -> &str {
    memchr(b':', qname.as_bytes()).and_then(|colon| qname.get(..colon)).unwrap_or_default()
}

fn escape_text(out: &mut String, text: &str) {
    let bytes = text.as_bytes();
    if memchr3(b'&', b'<', b'>', bytes).is_none() && memchr(b'\r', bytes).is_none() {
        return out.push_str(text);
    }
    escape(out, text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn escape_attribute(out: &mut String, value: &str) {
    escape(out, value, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

/// All escaped characters are ASCII, so that cutting at them never splits a character.
fn escape(out: &mut String, text: &str, entity: impl Fn(u8) -> Option<&'static str>) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(written) = entity(byte) {
            out.push_str(text.get(from..at).unwrap_or_default());
            out.push_str(written);
            from = at + 1;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml;

    #[test]
    fn a_long_namespace_repeated_by_thousands_does_not_grow_without_end() {
        let grown = |siblings: usize| {
            let uri = "u:".repeat(1_000);
            let text = format!("<r xmlns:a=\"{uri}\">{}</r>", "<a:b/>".repeat(siblings));
            let document = xml::parse(&text).unwrap();
            exclusive(document.root_element(), None, &[]).map(|bytes| bytes.len()).map_err(|r| r.code)
        };
        assert!(grown(1_000).is_ok_and(|bytes| bytes < OUTPUT_BYTES_MAX));
        assert_eq!(grown(1_100), Err("saml.canonical_too_large"));
    }
}

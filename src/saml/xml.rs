//! Reading XML within bounds. `survey` walks the raw text once, before the parser, and refuses what
//! could make it slow or strange: DTDs, processing instructions, other encodings, depth, floods of
//! attributes or namespaces. `parse` is the only call of the parser. The rest are the few ways in
//! which this crate looks at a node, each of which refuses anything unexpected.

use crate::Limits;
use memchr::{memchr, memchr2, memmem};
use model::Refusal;
use roxmltree::{Document, Node, ParsingOptions};

pub(crate) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub(crate) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
pub(crate) const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Nodes the parser may make: 10,000 elements with text and white space around each, and then some.
const NODES_MAX: u32 = 50_000;

/// Parses a document that `survey` let through, or canonical bytes made by us. DTDs stay off here too.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, Refusal> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    Document::parse_with_options(text, options)
        .map_err(|why| Refusal::stranger("saml.xml_malformed").with("reason", why))
}

/// Holds the raw text to the limits in one pass. It does not check well-formedness (the parser does):
/// where the two could disagree, the text is not well-formed and is refused by the parser.
pub(crate) fn survey(text: &str, limits: &Limits) -> Result<(), Refusal> {
    if memchr(0, text.as_bytes()).is_some() {
        return Err(Refusal::stranger("saml.nul_byte"));
    }
    let mut rest = declaration(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let mut tally = Tally::default();
    while let Some(at) = memchr(b'<', rest) {
        rest = rest.get(at + 1..).unwrap_or_default();
        rest = match rest.first() {
            Some(b'!') if rest.starts_with(b"!--") => after(rest, b"-->")?,
            Some(b'!') if rest.starts_with(b"![CDATA[") => after(rest, b"]]>")?,
            Some(b'!') => return Err(Refusal::stranger("saml.doctype_forbidden")),
            Some(b'?') => return Err(Refusal::stranger("saml.processing_instruction")),
            Some(b'/') => {
                tally.close();
                after(rest, b">")?
            }
            Some(_) | None => tag(rest, &mut tally, limits)?,
        };
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    elements: usize,
    /// Namespace declarations in force, one entry for each open element.
    in_scope: Vec<usize>,
}

impl Tally {
    fn open(&mut self, declared: usize, limits: &Limits) -> Result<(), Refusal> {
        self.elements += 1;
        if self.elements > limits.elements_max {
            return Err(Refusal::stranger("saml.too_many_elements"));
        }
        let in_scope = self.in_scope.last().copied().unwrap_or(0) + declared;
        if in_scope > limits.namespaces_in_scope_max {
            return Err(Refusal::stranger("saml.too_many_namespaces"));
        }
        self.in_scope.push(in_scope);
        if self.in_scope.len() > limits.depth_max {
            return Err(Refusal::stranger("saml.too_deep"));
        }
        Ok(())
    }
    fn close(&mut self) {
        self.in_scope.pop();
    }
}

/// One start tag, from after its `<`. Attributes are counted by their quoted values.
fn tag<'a>(start: &'a [u8], tally: &mut Tally, limits: &Limits) -> Result<&'a [u8], Refusal> {
    let (mut rest, mut attributes, mut declared, mut empty) = (start, 0_usize, 0_usize, false);
    loop {
        let mark = rest
            .iter()
            .position(|b| matches!(b, b'"' | b'\'' | b'>' | b'<'))
            .ok_or(Refusal::stranger("saml.xml_malformed"))?;
        let (before, from) = rest.split_at(mark);
        let tail = from.get(1..).unwrap_or_default();
        match from.first() {
            Some(b'>') => {
                empty |= before.last() == Some(&b'/');
                rest = tail;
                break;
            }
            Some(quote @ (b'"' | b'\'')) => {
                attributes += 1;
                declared += usize::from(memmem::find(before, b"xmlns").is_some());
                let end = memchr(*quote, tail).ok_or(Refusal::stranger("saml.xml_malformed"))?;
                rest = tail.get(end + 1..).unwrap_or_default();
            }
            Some(_) | None => return Err(Refusal::stranger("saml.xml_malformed")),
        }
        if attributes > limits.attributes_per_element_max {
            return Err(Refusal::stranger("saml.too_many_attributes"));
        }
    }
    tally.open(declared, limits)?;
    if empty {
        tally.close();
    }
    Ok(rest)
}

fn after<'a>(rest: &'a [u8], end: &[u8]) -> Result<&'a [u8], Refusal> {
    let at = memmem::find(rest, end).ok_or(Refusal::stranger("saml.xml_malformed"))?;
    Ok(rest.get(at + end.len()..).unwrap_or_default())
}

/// Skips an XML declaration, which may name no encoding but UTF-8: an IdP that declares another one
/// signed other bytes than we would read.
fn declaration(text: &str) -> Result<&[u8], Refusal> {
    let bytes = text.as_bytes();
    let Some(inside) = bytes.strip_prefix(b"<?xml".as_slice()) else { return Ok(bytes) };
    if !inside.first().is_some_and(u8::is_ascii_whitespace) {
        return Err(Refusal::stranger("saml.processing_instruction"));
    }
    let rest = after(inside, b"?>")?;
    let named = inside.get(..inside.len() - rest.len()).unwrap_or_default();
    if let Some(at) = memmem::find(named, b"encoding") {
        let value = named.get(at..).unwrap_or_default();
        let open = memchr2(b'"', b'\'', value).map_or(value.len(), |quote| quote + 1);
        let name = value.get(open..open + 6).unwrap_or_default();
        if !(name.get(..5).is_some_and(|n| n.eq_ignore_ascii_case(b"utf-8"))
            && matches!(name.get(5), Some(b'"' | b'\'')))
        {
            return Err(Refusal::stranger("saml.encoding_unsupported"));
        }
    }
    Ok(rest)
}

pub(crate) fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name && node.tag_name().namespace() == Some(namespace)
}

/// The child elements of that name, in order.
pub(crate) fn children<'a, 'i>(
    node: Node<'a, 'i>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, namespace, name))
}

/// None or one child of that name; a second is refused with `code`: two readers would pick differently.
pub(crate) fn at_most_one<'a, 'i>(
    node: Node<'a, 'i>,
    (namespace, name): (&'static str, &'static str),
    code: &'static str,
) -> Result<Option<Node<'a, 'i>>, Refusal> {
    let mut found = children(node, namespace, name);
    let first = found.next();
    if found.next().is_some() {
        return Err(Refusal::stranger(code).with("element", name));
    }
    Ok(first)
}

/// An attribute without a namespace. `Node::attribute` with a plain name means just that.
pub(crate) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|a| a.namespace().is_none() && a.name() == name).map(|a| a.value())
}

/// The whole text of an element that has no child elements: all text nodes joined, because a comment
/// splits a text in two (`admin@b.com<!-- -->.evil.com`). None if there is a child element.
pub(crate) fn text(node: Node<'_, '_>) -> Option<String> {
    let mut whole = String::new();
    for child in node.children() {
        if child.is_text() {
            whole.push_str(child.text().unwrap_or_default());
        } else if !child.is_comment() {
            return None;
        }
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        survey(text, &Limits::default()).err().map(|refusal| refusal.code)
    }

    #[test]
    fn each_bound_holds_at_its_edge_and_breaks_one_past_it() {
        let nested = |n: usize| format!("{}{}", "<a x='/>'>".repeat(n), "</a>".repeat(n));
        assert_eq!(code(&nested(40)), None);
        assert_eq!(code(&nested(41)), Some("saml.too_deep"));
        let flat = |n: usize| format!("<r>{}</r>", "<a/>".repeat(n - 1));
        assert_eq!(code(&flat(10_000)), None);
        assert_eq!(code(&flat(10_001)), Some("saml.too_many_elements"));
        let wide = |n: usize| format!("<r{}/>", (0..n).map(|i| format!(" a{i}='>'")).collect::<String>());
        assert_eq!(code(&wide(64)), None);
        assert_eq!(code(&wide(65)), Some("saml.too_many_attributes"));
        let scoped = |n: usize| {
            let inner: String = (0..n / 2).map(|i| format!(" xmlns:a{i}='u:u'")).collect();
            format!("<r{inner}><s{inner}/><s{inner}/></r>")
        };
        assert_eq!(code(&scoped(64)), None, "siblings do not add up");
        assert_eq!(code(&scoped(66)), Some("saml.too_many_namespaces"));
    }

    #[test]
    fn strange_documents_are_named() {
        assert_eq!(code("<!DOCTYPE a><a/>"), Some("saml.doctype_forbidden"));
        assert_eq!(code("<a><?pi x?></a>"), Some("saml.processing_instruction"));
        assert_eq!(code("<?xml-stylesheet href='x'?><a/>"), Some("saml.processing_instruction"));
        assert_eq!(code("<a>\0</a>"), Some("saml.nul_byte"));
        assert_eq!(code("<?xml version='1.0' encoding='UTF-16'?><a/>"), Some("saml.encoding_unsupported"));
        assert_eq!(code("<?xml version='1.0' encoding='utf-8x'?><a/>"), Some("saml.encoding_unsupported"));
        assert_eq!(code("\u{feff}<?xml version='1.0' encoding='Utf-8'?><a/>"), None);
        assert_eq!(code("<a><!-- <b> --><![CDATA[<c>]]></a>"), None);
    }
}

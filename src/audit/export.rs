//! Lines of an export. CSV after RFC 4180, every cell quoted, and neutralised: a spreadsheet that
//! opens it must not find a formula that an attacker put into a user name or a user agent.
//! NDJSON lines are canonical, so that an export can be compared byte for byte.

use crate::canonical::canonical;
use serde_json::Value;

/// One CSV record, ended by CR LF.
pub fn csv_record<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(csv_cell).collect();
    format!("{}\r\n", cells.join(","))
}

/// A quoted cell. A value that a spreadsheet could read as a formula gets a leading apostrophe.
pub fn csv_cell(value: &str) -> String {
    let guard = if is_formula(value) { "'" } else { "" };
    format!("\"{guard}{}\"", value.replace('"', "\"\""))
}

/// OWASP's list: `=`, `+`, `-`, `@`, tab, carriage return; also line feed, their full-width forms,
/// and any of them behind white space or invisible characters, which some importers trim.
fn is_formula(value: &str) -> bool {
    if value.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let invisible =
        |c: char| c.is_whitespace() || c.is_control() || "\u{feff}\u{200b}\u{200c}\u{200d}".contains(c);
    value.trim_start_matches(invisible).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

/// One NDJSON line, ended by a line feed. Canonical JSON holds no line break of its own.
pub fn ndjson_line(value: &Value) -> String {
    format!("{}\n", canonical(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_formula_is_neutralised_however_it_hides() {
        for evil in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\u{200b}@x",
            "＝1",
            "\t",
            "\0=1",
        ] {
            assert!(csv_cell(evil).starts_with("\"'"), "{evil:?}");
        }
        for plain in ["", "ada@example.com", "a=b", "1-2", "usr_1", " x", "'=1"] {
            assert_eq!(csv_cell(plain), format!("\"{plain}\""));
        }
        assert_eq!(csv_cell(r#"=HYPERLINK("x")"#), r#""'=HYPERLINK(""x"")""#);
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_quotes() {
        assert_eq!(csv_record(["a", "b\",=1,\"", "c\r\nd"]), "\"a\",\"b\"\",=1,\"\"\",\"c\r\nd\"\r\n");
        let cells = ["x\"", "\"\"", ",", ";", "\r\n", ""];
        let record = csv_record(cells);
        assert_eq!(record.matches('"').count() % 2, 0);
    }

    #[test]
    fn an_ndjson_line_is_one_line() {
        let line = ndjson_line(&json!({"b":"x\ny\r","a":"\u{2028}"}));
        assert_eq!(line, "{\"a\":\"\u{2028}\",\"b\":\"x\\ny\\r\"}\n");
        assert_eq!(line.matches('\n').count(), 1);
    }
}

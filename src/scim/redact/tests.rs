use super::*;

fn kept(raw: &str) -> String {
    body(raw.as_bytes(), 1_000).text
}

#[test]
fn a_password_is_redacted_by_its_name_wherever_it_stands() {
    for (raw, wanted) in [
        (r#"{"userName":"ada","password":"hunter2"}"#, r#"{"userName":"ada","password":"[redacted]"}"#),
        (r#"{"PassWord" : "hunter2", "a": 1}"#, r#"{"PassWord" : "[redacted]", "a": 1}"#),
        (r#"{"pass\u0077ord":"hunter2"}"#, r#"{"pass\u0077ord":"[redacted]"}"#),
        (r#"{"password":{"a":["hunter2"]},"b":2}"#, r#"{"password":"[redacted]","b":2}"#),
        (r#"{"password":12345}"#, r#"{"password":"[redacted]"}"#),
        (r#"{"urn:acme:2.0:User:password":"hunter2"}"#, r#"{"urn:acme:2.0:User:password":"[redacted]"}"#),
        (r#"{"urn:acme:User":{"apiToken":"hunter2"}}"#, r#"{"urn:acme:User":{"apiToken":"[redacted]"}}"#),
        (r#"{"password":"a","password":"b"}"#, r#"{"password":"[redacted]","password":"[redacted]"}"#),
        (
            r#"{"Operations":[{"data":{"password":"x"}}]}"#,
            r#"{"Operations":[{"data":{"password":"[redacted]"}}]}"#,
        ),
    ] {
        assert_eq!(kept(raw), wanted);
    }
}

#[test]
fn a_patch_of_a_password_is_redacted_in_any_order() {
    for raw in [
        r#"{"op":"replace","path":"password","value":"hunter2"}"#,
        r#"{"value":"hunter2","op":"replace","path":"password"}"#,
        r#"{"op":"add","path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":["hunter2"]}"#,
        r#"{"path":"password","path":"title","value":"hunter2"}"#,
        r#"{"op":"replace","value":{"password":"hunter2"}}"#,
        r#"{"filter":"password eq \"hunter2\""}"#,
        r#"{"op":"remove","path":"x[password eq \"hunter2\"]"}"#,
        r#"{"op":"remove","path":"x[password eq hunter2]"}"#,
        r#"{"filter":"password eq hunter2"}"#,
        r#"{"filter":["password eq hunter2"]}"#,
        r#"{"op":"replace","path":["password"],"value":"hunter2"}"#,
        r#"{"value":{"a":"hunter2"},"path":{"x":"password"},"op":"replace"}"#,
        r#"{"op":"replace","value":"hunter2"}"#,
        r#"{"value":["hunter2"],"path":null,"op":"replace"}"#,
        r#"{"OP":"replace","path":" ","value":"hunter2"}"#,
    ] {
        let kept = kept(raw);
        assert!(!kept.contains("hunter2") && kept.contains(REDACTED), "{kept}");
        assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "{kept}");
    }
    let kept = kept(r#"{"op":"replace","path":"title","value":"Dr"}"#);
    assert!(kept.contains("\"Dr\""), "{kept}");
    for harmless in [
        r#"{"op":"replace","value":{"title":"Dr","emails":[{"value":"a@x.example","type":"work"}]}}"#,
        r#"{"op":"remove","path":"urn:ietf:params:scim:schemas:core:2.0:User:password"}"#,
        r#"{"op":"add","path":"members","value":[{"value":"usr_1"}]}"#,
    ] {
        assert_eq!(body(harmless.as_bytes(), 1_000).text, harmless);
    }
}

/// The words of a refusal quote a filter without its attribute, and a value without its place.
#[test]
fn a_refusal_quotes_no_secret() {
    let said = "a value expected at: hunter2 [scim.filter_syntax]";
    let answered = format!(r#"{{"detail":"{said}"}}"#);
    for sent in [r#"{"filter":"password eq hunter2"}"#, r#"{"op":"add","value":"hunter2"}"#] {
        assert!(body(sent.as_bytes(), 100).quotable, "{sent}");
    }
    assert!(query("filter=password+eq+hunter2", 100).quotable && !query("filter=x+eq+y", 100).quotable);
    assert!(!body(br#"{"userName":"ada","password":"hunter2"}"#, 100).quotable);
    for (quotable, wanted) in [(true, REDACTED), (false, said)] {
        assert_eq!(detail(said, 100, quotable), wanted);
        assert!(answer(answered.as_bytes(), 100, quotable).text.contains(wanted));
    }
    let shown = "password: text is expected; received 12345 [scim.value_wrong]";
    assert_eq!(detail(shown, 100, false), REDACTED);
    let answered = format!(r#"{{"Operations":[{{"response":{{"detail":"{shown}"}}}}]}}"#);
    assert!(!answer(answered.as_bytes(), 100, false).text.contains("12345"));
    let lacking = "Use a token with the scope [scim.scope_missing]";
    assert_eq!(detail(lacking, 100, false), lacking);
}

/// Cut anywhere, as a request that broke off is, or followed by what is no JSON.
#[test]
fn what_broke_off_gives_away_no_secret() {
    for raw in [
        r#"{"userName":"ada","password":"hunter2","x":1}"#,
        r#"{"password":{"deep":["hunter2"]},"x":1}"#,
        r#"{"Operations":[{"op":"replace","value":"hunter2","path":"password"}]}"#,
        r#"{"value":{"a":{"b":"hunter2"}},"path":"password"}"#,
    ] {
        for at in 0..raw.len() {
            let kept = body(&raw.as_bytes()[..at], 1_000);
            assert!(!kept.text.contains("hunt"), "{at}: {}", kept.text);
            assert!(kept.cut);
            let kept = body(format!("{}~password=hunter2", &raw[..at]).as_bytes(), 1_000);
            assert!(!kept.text.contains("password=hunt"), "{at}: {}", kept.text);
        }
    }
    for raw in ["password=hunter2", "<password>hunter2</password>", "{'password':'hunter2'}", "{}hunter2"] {
        let kept = body(raw.as_bytes(), 1_000);
        assert!(!kept.text.contains("hunt") && kept.cut, "{kept:?}");
    }
}

#[test]
fn a_body_is_kept_to_its_bound_and_says_when_more_came() {
    let raw = format!("[\"{}\"]", "x".repeat(96));
    assert_eq!(body(raw.as_bytes(), 100), Excerpt { text: raw.clone(), cut: false, quotable: false });
    let cut = body(raw.as_bytes(), 99);
    assert_eq!((cut.text.len(), cut.cut), (99, true));
    let wide = body("[\"ää\"]".as_bytes(), 3);
    assert_eq!((wide.text.as_str(), wide.cut), ("[\"", true), "no half a character");
    let late = format!(r#"{{"value":"{}hunter2","path":"password"}}"#, "x".repeat(90));
    assert!(!body(late.as_bytes(), 100).text.contains("xx"), "the path stands behind the cut");
    let deep = "[".repeat(100_000);
    assert!(body(deep.as_bytes(), 100).cut);
    assert_eq!(body(b"", 100), Excerpt { text: String::new(), cut: true, quotable: false });
}

#[test]
fn a_query_keeps_its_filter_and_no_secret() {
    let of = |raw: &str| query(raw, 100).text;
    let asked = "filter=userName+eq+%22ada%22&count=1";
    assert_eq!((of(asked), of("attributes=password")), (asked.into(), "attributes=password".into()));
    for raw in [
        "filter=password%20eq%20%22hunter2%22",
        "filter=password+eq+hunter2",
        "filter=a+pr+and+password+sw+hunter2",
        "filter=password:hunter2",
        "access_token=hunter2",
        "p%61ssword=hunter2",
        "x=vst_scim_hunter2",
        "x=%76st_scim_hunter2",
    ] {
        assert!(!of(raw).contains("hunter2"), "{}", of(raw));
    }
    assert_eq!(query("a=1234", 6), Excerpt { text: "a=1234".into(), cut: false, quotable: false });
    assert!(query("a=1234", 5).cut);
    assert_eq!(line("/scim/v2/Users", 100), "/scim/v2/Users");
    assert_eq!((line("/scim/v2", 5), line("/Users/vst_scim_x", 100)), ("/scim".into(), REDACTED.into()));
    assert!(!body(br#"{"title":"vst_scim_hunter2"}"#, 100).text.contains("hunter2"));
}

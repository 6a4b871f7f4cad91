//! A condition as SQL. The words of it are the fragments below and nothing else: every name and value
//! that came from outside is a bound parameter. Where a value is absent the SQL says NULL, which AND and
//! OR take for false, and `IS NOT TRUE` makes of it what the judge means by "not".

use super::places::{At, Sql};
use scim::condition::{Case, Condition, How, List, Order, Place, Test};
use time::OffsetDateTime;

/// One condition of a conjunction or disjunction after the other.
fn joined(sql: &mut Sql<'_>, all: &[Condition], word: &str, at: At) {
    sql.push("(");
    for (n, one) in all.iter().enumerate() {
        if n > 0 {
            sql.push(word);
        }
        condition(sql, one, at);
    }
    sql.push(")");
}

pub(super) fn condition(sql: &mut Sql<'_>, asked: &Condition, at: At) {
    match asked {
        Condition::Constant(value) => sql.push(if *value { "true" } else { "false" }),
        Condition::All(all) => joined(sql, all, " AND ", at),
        Condition::Any(any) => joined(sql, any, " OR ", at),
        Condition::Not(one) => {
            sql.push("(");
            condition(sql, one, at);
            sql.push(") IS NOT TRUE");
        }
        Condition::Value { place, test } => value(sql, place, test, at),
        Condition::Some { list, inner } => some(sql, list, inner, at),
    }
}

const fn sign(order: Order) -> &'static str {
    match order {
        Order::Equal => " = ",
        Order::Above => " > ",
        Order::AtLeast => " >= ",
        Order::Below => " < ",
        Order::AtMost => " <= ",
    }
}

fn value(sql: &mut Sql<'_>, place: &Place, test: &Test, at: At) {
    match test {
        Test::Present => present(sql, place, at),
        Test::Flag(wanted) => match (place, at) {
            (Place::Active, At::Resource) => {
                sql.push("u.active = ");
                sql.bind(*wanted);
            }
            // Of unknown type, so the JSON itself is compared.
            (Place::Itself, At::Loose(alias)) => {
                sql.push(format_args!("{alias}.v = to_jsonb("));
                sql.bind(*wanted);
                sql.push(")");
            }
            _ => {
                sql.text(place, at);
                sql.push(" = ");
                sql.bind(wanted.to_string());
            }
        },
        Test::Time { order, wanted } => {
            sql.moment(place);
            sql.push(sign(*order));
            sql.bind(OffsetDateTime::from(*wanted));
        }
        Test::Number { order, wanted } => {
            let At::Loose(alias) = at else { return sql.push("false") };
            sql.push(format_args!(
                "CASE WHEN jsonb_typeof({alias}.v) = 'number' THEN ({alias}.v)::float8{}",
                sign(*order)
            ));
            sql.bind(wanted.as_f64());
            sql.push(" ELSE false END");
        }
        Test::Text { how, wanted, case } => match at {
            At::Loose(alias) => {
                sql.push(format_args!("CASE WHEN jsonb_typeof({alias}.v) = 'string' THEN "));
                text(sql, place, (*how, wanted, *case), at);
                sql.push(" ELSE false END");
            }
            At::Resource | At::Known(_) | At::Plain(_) | At::Group(_) | At::Member(_) => {
                text(sql, place, (*how, wanted, *case), at);
            }
        },
    }
}

fn present(sql: &mut Sql<'_>, place: &Place, at: At) {
    match (place, at) {
        (Place::Itself, At::Loose(alias)) => {
            sql.push(format_args!("{alias}.v NOT IN ('null', '\"\"', '[]', '{{}}')"));
        }
        // These are never without a value.
        (
            Place::Id
            | Place::Created
            | Place::LastModified
            | Place::Location
            | Place::Version
            | Place::UserName
            | Place::Active,
            _,
        ) => sql.push("true"),
        (
            Place::ExternalId
            | Place::DisplayName
            | Place::GivenName
            | Place::FamilyName
            | Place::Document { .. }
            | Place::Part(_)
            | Place::Itself,
            _,
        ) => {
            sql.text(place, at);
            sql.push(" <> ''");
        }
    }
}

/// A comparison of text. The equalities that every client asks go by a column that has an index.
fn text(sql: &mut Sql<'_>, place: &Place, (how, wanted, case): (How, &str, Case), at: At) {
    if how == How::Ordered(Order::Equal) && sql.keyed(place, wanted, at) {
        return;
    }
    let column = sql.folded_column(place, how, wanted);
    match (how, column, successor(wanted)) {
        // A range, for the index.
        (How::Starts, Some(column), Some(next)) => {
            sql.push(format_args!("({column} >= "));
            sql.bind(wanted.to_owned());
            sql.push(format_args!(" AND {column} < "));
            sql.bind(next);
            return sql.push(")");
        }
        (How::Ordered(_), Some(column), _) => sql.push(column),
        (_, column, _) => {
            sql.push(match how {
                How::Contains => "strpos(",
                How::Starts => "starts_with(",
                How::Ends => "right(",
                How::Ordered(_) => "",
            });
            match (column, case) {
                (Some(column), _) => sql.push(column),
                (None, Case::Exact) => sql.text(place, at),
                (None, Case::Folded) => {
                    sql.push("folded(");
                    sql.text(place, at);
                    sql.push(")");
                }
            }
        }
    }
    match how {
        How::Ordered(Order::Equal) => sql.push(" = "),
        How::Ordered(order) => sql.push(format_args!(" COLLATE \"C\"{}", sign(order))),
        How::Contains | How::Starts => sql.push(", "),
        How::Ends => {
            sql.push(", char_length(");
            sql.bind(wanted.to_owned());
            sql.push(")) = ");
        }
    }
    sql.bind(wanted.to_owned());
    match how {
        How::Contains => sql.push(") > 0"),
        How::Starts => sql.push(")"),
        How::Ordered(_) | How::Ends => {}
    }
}

/// The least text that is above every text with this beginning; `None` when there is none.
fn successor(beginning: &str) -> Option<String> {
    let mut letters: Vec<char> = beginning.chars().collect();
    while let Some(last) = letters.pop() {
        // `char` knows that nothing stands between U+D7FF and U+E000.
        if let Some(next) = (last..=char::MAX).nth(1) {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

fn some(sql: &mut Sql<'_>, list: &List, inner: &Condition, at: At) {
    let alias = sql.alias();
    let (inside, closing) = match list {
        List::Schemas => {
            sql.push("EXISTS (SELECT 1 FROM (SELECT ");
            sql.bind(sql.kind().urn());
            sql.push("::text AS v");
            if sql.kind() == scim::Kind::User {
                sql.push(
                    " UNION ALL SELECT key FROM jsonb_object_keys(u.attributes) key WHERE strpos(key, ':') > 0",
                );
            }
            sql.push(format_args!(") {alias} WHERE "));
            (At::Plain(alias), ")")
        }
        List::Emails => {
            let indexed = address(sql, inner);
            sql.push("EXISTS (SELECT 1 FROM ");
            sql.elements("emails");
            sql.push(format_args!(" AS {alias}(v) WHERE "));
            (At::Known(alias), if indexed { "))" } else { ")" })
        }
        List::Document(name) => {
            sql.push("EXISTS (SELECT 1 FROM ");
            sql.elements(name);
            sql.push(format_args!(" AS {alias}(v) WHERE "));
            (At::Known(alias), ")")
        }
        List::Groups => {
            sql.push(format_args!(
                "EXISTS (SELECT 1 FROM group_members {alias} JOIN groups {alias}g USING (org_id, group_id)
                          WHERE {alias}.org_id = u.org_id AND {alias}.user_id = u.user_id AND {alias}g.dir_id = "
            ));
            sql.bind_directory();
            sql.push(" AND ");
            (At::Group(alias), ")")
        }
        List::Members => {
            sql.push(format_args!(
                "EXISTS (SELECT 1 FROM group_members {alias}
                          WHERE {alias}.org_id = g.org_id AND {alias}.group_id = g.group_id AND "
            ));
            (At::Member(alias), ")")
        }
        List::Foreign { urn, name } => {
            sql.push("EXISTS (SELECT 1 FROM ");
            sql.members("u.attributes", &format!("{alias}x"));
            sql.push(", ");
            sql.members(&format!("{alias}x.o"), &format!("{alias}y"));
            sql.push(", ");
            sql.opened(&format!("{alias}y.o"), alias);
            sql.push(format_args!(" WHERE lower({alias}x.k COLLATE \"C\") = "));
            sql.bind(urn.clone());
            sql.push(format_args!(" AND lower({alias}y.k COLLATE \"C\") = "));
            sql.bind(name.clone());
            sql.push(" AND ");
            (At::Loose(alias), ")")
        }
        List::ForeignPart(name) => {
            let At::Loose(outer) = at else { return sql.push("false") };
            sql.push("EXISTS (SELECT 1 FROM ");
            sql.members(&format!("{outer}.v"), &format!("{alias}y"));
            sql.push(", ");
            sql.opened(&format!("{alias}y.o"), alias);
            sql.push(format_args!(" WHERE lower({alias}y.k COLLATE \"C\") = "));
            sql.bind(name.clone());
            sql.push(" AND ");
            (At::Loose(alias), ")")
        }
    };
    condition(sql, inner, inside);
    sql.push(closing);
}

/// Whoever has the address that is asked for, by the index over addresses; what else is asked of it is
/// asked of the document. False when the address itself is not.
fn address(sql: &mut Sql<'_>, inner: &Condition) -> bool {
    let all = match inner {
        Condition::All(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let wanted = all.iter().find_map(|one| match one {
        Condition::Value {
            place: Place::Part("value"),
            test: Test::Text { how: How::Ordered(Order::Equal), wanted, .. },
        } => Some(wanted).filter(|wanted| !wanted.is_empty()),
        _ => None,
    });
    let Some(wanted) = wanted else { return false };
    sql.push("(u.user_id = ANY (ARRAY(SELECT e.user_id FROM user_emails e WHERE e.value_norm = ");
    sql.bind(wanted.clone());
    sql.push(")) AND ");
    true
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn what_begins_alike_lies_below_the_successor() {
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(successor(&format!("a{}", char::MAX)).as_deref(), Some("b"));
        assert_eq!(successor(&char::MAX.to_string()), None);
        assert_eq!(successor(""), None);
    }
}

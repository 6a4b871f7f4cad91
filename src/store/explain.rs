//! What a start says of a database that does not take us: the cause and the next step. Never a secret:
//! of the URL it tells host, port, name and login.

use crate::Error;
use sqlx::{error::DatabaseError, postgres::PgConnectOptions};
use std::str::FromStr;

/// Whom we asked, as an operator knows it.
struct Asked {
    place: String,
    login: String,
    name: String,
}

impl Error {
    /// What the operator reads whose command could not begin with the database at `url`.
    pub fn explained(&self, url: &str) -> String {
        let Ok(options) = PgConnectOptions::from_str(url) else { return NO_URL.to_owned() };
        let place = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let login = options.get_username().to_owned();
        let name = options.get_database().unwrap_or(&login).to_owned();
        let asked = Asked { place, login, name };
        match self {
            Self::Unavailable(cause) | Self::Late(cause) | Self::Sql(cause) | Self::InDoubt(cause) => {
                asked.explain(cause)
            }
            Self::Conflict(_)
            | Self::Crowded
            | Self::TooCostly
            | Self::CredentialGone
            | Self::OrgClosed(_)
            | Self::Corrupt(_)
            | Self::NoRoom
            | Self::SealedByAnother
            | Self::Rehearsed(_)
            | Self::Stage(_)
            | Self::Migrate(_) => self.to_string(),
        }
    }
}

const NO_URL: &str = "DATABASE_URL is no postgres:// URL; wanted postgres://USER:PASSWORD@HOST:5432/NAME";

impl Asked {
    fn explain(&self, cause: &sqlx::Error) -> String {
        let Self { place, .. } = self;
        match cause {
            sqlx::Error::Configuration(_) => NO_URL.to_owned(),
            sqlx::Error::Io(why) => {
                format!("nothing answers at {place} ({why}): start Postgres there, or correct DATABASE_URL")
            }
            sqlx::Error::PoolTimedOut => format!(
                "the database at {place} gave no connection in time: look there, or raise database.acquire_timeout_secs"
            ),
            sqlx::Error::Tls(why) => {
                format!(
                    "no TLS with the database at {place} ({why}): see to its certificate, or to sslmode in DATABASE_URL"
                )
            }
            sqlx::Error::Database(said) => self.said(said.as_ref()),
            other => format!("the database at {place}: {other}"),
        }
    }

    /// By SQLSTATE, PostgreSQL's Appendix A.
    fn said(&self, said: &dyn DatabaseError) -> String {
        let Self { place, login, name } = self;
        let (code, message) = (said.code().unwrap_or_default(), said.message());
        match code.as_ref() {
            "28P01" => format!("{place} refuses the password of {login}: correct it in DATABASE_URL"),
            "28000" => {
                format!("{place} does not let {login} in ({message}): see its pg_hba.conf, or DATABASE_URL")
            }
            "3D000" => {
                format!("there is no database {name} at {place}: CREATE DATABASE {name} OWNER {login}")
            }
            // No role vst_app, no schema, or a table, column or function of a later version.
            "22023" | "3F000" | "42P01" | "42703" | "42883" => {
                format!(
                    "database {name} at {place} is not at this version ({message}): run `vestibule migrate`"
                )
            }
            "42501" if message.contains("set role") => format!(
                "{login} at {place} may not become vst_app: run `vestibule migrate` with this login, or GRANT vst_app TO {login}"
            ),
            "42501" => format!(
                "{login} at {place} lacks a right ({message}): `vestibule migrate` wants a login that has CREATEROLE and owns database {name}; give one as database.migrate_url"
            ),
            "53300" => format!("{place} has no connection left ({message}): raise its max_connections"),
            _ => format!("database {name} at {place} says: {message} ({code})"),
        }
    }
}

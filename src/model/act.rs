//! The catalogue of acts: what an org's record can say that happened, and so what its webhooks can be
//! told. An event takes one of these and no text, so that nothing is recorded that does not stand here.

macro_rules! acts {
    ($($act:ident $text:literal;)*) => {
        /// One kind of audit event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Act {
            $($act,)*
        }

        impl Act {
            pub const ALL: &'static [Self] = &[$(Self::$act,)*];

            /// Its stable text: what it was about, a full stop, and what became of it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$act => $text,)*
                }
            }
        }
    };
}

acts! {
    LoginAccepted "login.accepted";
    LoginContinued "login.continued";
    LoginArrived "login.arrived";
    LoginRefused "login.refused";
    IdentityBound "identity.bound";
    IdentityUnbound "identity.unbound";
    SessionEnded "session.ended";
    SessionRevoked "session.revoked";
    SignalIgnored "signal.ignored";
    SignalVerified "signal.verified";
    SignalRefused "signal.refused";
    TokenIssued "token.issued";
    TokenRefreshReplayed "token.refresh_replayed";
    TokenCodeReused "token.code_reused";
    TokenRevoked "token.revoked";
    UserCreated "user.created";
    UserUpdated "user.updated";
    UserDeactivated "user.deactivated";
    UserReactivated "user.reactivated";
    UserDeleted "user.deleted";
    UserAdopted "user.adopted";
    UserGroupsLost "user.groups_lost";
    UserRolesSet "user.roles_set";
    UserSessionsRevoked "user.sessions_revoked";
    GroupCreated "group.created";
    GroupUpdated "group.updated";
    GroupDeleted "group.deleted";
    TeamCreated "team.created";
    TeamRemoved "team.removed";
    TeamMemberAdded "team.member_added";
    TeamMemberRemoved "team.member_removed";
    ConnectionCreated "connection.created";
    ConnectionChanged "connection.changed";
    ConnectionEnabled "connection.enabled";
    ConnectionDisabled "connection.disabled";
    ConnectionRemoved "connection.removed";
    DirectoryCreated "directory.created";
    DirectoryChanged "directory.changed";
    DirectoryRemoved "directory.removed";
    DirectoryTokenCreated "directory.token_created";
    DirectoryTokenRevoked "directory.token_revoked";
    DirectoryTokenFetched "directory.token_fetched";
    DirectorySecretCreated "directory.secret_created";
    DirectorySecretRevoked "directory.secret_revoked";
    DirectoryHeld "directory.held";
    DirectoryHoldApproved "directory.hold_approved";
    DirectoryHoldRefused "directory.hold_refused";
    DomainClaimed "domain.claimed";
    DomainVerified "domain.verified";
    DomainRemoved "domain.removed";
    HostAdded "host.added";
    HostRemoved "host.removed";
    KeyCreated "key.created";
    KeyRevoked "key.revoked";
    ServiceAccountCreated "service_account.created";
    ServiceAccountChanged "service_account.changed";
    ServiceAccountRemoved "service_account.removed";
    ServiceAccountSecretCreated "service_account.secret_created";
    ServiceAccountSecretRevoked "service_account.secret_revoked";
    OrgCreated "org.created";
    OrgChanged "org.changed";
    OrgStateChanged "org.state_changed";
    OrgPlanSet "org.plan_set";
    OrgDeleted "org.deleted";
    OrgRestored "org.restored";
    OrgGroupMappingsSet "org.group_mappings_set";
    OrgSessionsRevoked "org.sessions_revoked";
    OrgAppLeft "org.app_left";
    OrgDemoSetUp "org.demo_set_up";
    QuotaNear "quota.near";
    QuotaReached "quota.reached";
    QuotaRefused "quota.refused";
    AuditExported "audit.exported";
    WebhookCreated "webhook.created";
    WebhookChanged "webhook.changed";
    WebhookSecretRotated "webhook.secret_rotated";
    WebhookRemoved "webhook.removed";
    WebhookDeliveryReplayed "webhook.delivery_replayed";
}

/// The type of a message about usage: one a row of the ledger.
pub const USAGE_RECORDED: &str = "usage.recorded";

impl Act {
    /// A replay is told to nobody: whoever replays what died would make a new message with each.
    pub fn is_told(self) -> bool {
        self != Self::WebhookDeliveryReplayed
    }
}

/// Every type of message that a webhook can be told.
pub fn event_types() -> impl Iterator<Item = &'static str> {
    let told = Act::ALL.iter().filter(|act| act.is_told());
    told.map(|act| act.as_str()).chain([USAGE_RECORDED])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_type_has_two_words_and_stands_once() {
        let all: Vec<&str> = event_types().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.len(), Act::ALL.len(), "all acts but the replay, and usage");
        for text in all {
            let word =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            let parts: Vec<&str> = text.split('.').collect();
            assert!(parts.len() == 2 && parts.iter().all(|part| word(part)), "{text}");
        }
    }
}

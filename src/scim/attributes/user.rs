//! The core User (RFC 7643 4.1) less what this server does not keep (`password`), and the enterprise
//! extension (4.3).

use super::{Attribute, Shape, attribute, complex, flag, text};

static NAME: [Attribute; 6] = [
    text("formatted", "The whole name as it is shown"),
    text("familyName", "Family or last name"),
    text("givenName", "Given or first name"),
    text("middleName", "Middle names"),
    text("honorificPrefix", "Title before the name"),
    text("honorificSuffix", "What follows the name"),
];

const fn plural(value: Attribute, kinds: &'static [&'static str]) -> [Attribute; 4] {
    [
        value,
        text("display", "How the value is shown"),
        text("type", "What the value is for").canonical(kinds),
        flag("primary", "The preferred one; at most one is"),
    ]
}

static EMAIL: [Attribute; 4] = plural(text("value", "The address"), &["work", "home", "other"]);
static PHONE: [Attribute; 4] =
    plural(text("value", "The number, as sent"), &["work", "home", "mobile", "fax", "pager", "other"]);
static IM: [Attribute; 4] =
    plural(text("value", "The address"), &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]);
static PHOTO: [Attribute; 4] = plural(
    attribute("value", Shape::Reference(&["external"]), "Where the picture is").exact(),
    &["photo", "thumbnail"],
);
static ENTITLEMENT: [Attribute; 4] = plural(text("value", "The entitlement"), &[]);
static ROLE: [Attribute; 4] = plural(text("value", "The role"), &[]);
static CERTIFICATE: [Attribute; 4] = plural(attribute("value", Shape::Binary, "DER in base64").exact(), &[]);
static ADDRESS: [Attribute; 8] = [
    text("formatted", "The whole address as it is shown"),
    text("streetAddress", "Street and number"),
    text("locality", "City"),
    text("region", "State or region"),
    text("postalCode", "Postal code"),
    text("country", "Country"),
    text("type", "What the address is for").canonical(&["work", "home", "other"]),
    flag("primary", "The preferred one; at most one is"),
];
static MEMBERSHIP: [Attribute; 4] = [
    text("value", "The id of the group").exact().read_only(),
    attribute("$ref", Shape::Reference(&["Group"]), "The address of the group").exact().read_only(),
    text("display", "The name of the group").read_only(),
    text("type", "How the user is in it").read_only().canonical(&["direct"]),
];
static MANAGER: [Attribute; 3] = [
    text("value", "The manager's id, as the directory sent it").exact(),
    attribute("$ref", Shape::Reference(&["User"]), "The manager's address").exact(),
    text("displayName", "The manager's name"),
];

/// The core User. `active` is never unassigned: who reads a leaver's resource without it may take them for
/// active. It is required therefore (RFC 7643 7), and assigned where a body leaves it out: true to who is
/// new, and what it is to who is there.
pub(crate) static USER: [Attribute; 21] = [
    text("userName", "The name that is unique in the org").required().unique(),
    text("externalId", "The directory's own key of the user").exact(),
    complex("name", &NAME, "The parts of the user's name"),
    text("displayName", "The name that is shown"),
    text("nickName", "What the user is called"),
    attribute("profileUrl", Shape::Reference(&["external"]), "The user's page").exact(),
    text("title", "What the user does"),
    text("userType", "How the user belongs to the organization"),
    text("preferredLanguage", "Languages the user prefers"),
    text("locale", "For numbers, dates and currencies"),
    text("timezone", "The user's time zone"),
    flag("active", "May the user sign in; left out, it stays as it is, and is true of a new user").required(),
    complex("emails", &EMAIL, "Email addresses").many(),
    complex("phoneNumbers", &PHONE, "Phone numbers").many(),
    complex("ims", &IM, "Instant messaging addresses").many(),
    complex("photos", &PHOTO, "Pictures of the user").many(),
    complex("addresses", &ADDRESS, "Postal addresses").many(),
    complex("groups", &MEMBERSHIP, "The groups that the user is in").many().read_only(),
    complex("entitlements", &ENTITLEMENT, "What the user is entitled to").many(),
    complex("roles", &ROLE, "The user's roles, as the directory sent them").many(),
    complex("x509Certificates", &CERTIFICATE, "Certificates issued to the user").many(),
];

/// The enterprise extension.
pub(crate) static ENTERPRISE: [Attribute; 6] = [
    text("employeeNumber", "The number the organization gave the user"),
    text("costCenter", "Cost center"),
    text("organization", "Organization"),
    text("division", "Division"),
    text("department", "Department"),
    complex("manager", &MANAGER, "The user's manager"),
];

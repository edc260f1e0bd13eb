//! Reads and checks matrix files.
//!
//! A matrix is TOML: `title`, the dynamic ranges, `[[role]]` tables and `[[requirement]]` tables.
//! What is read was checked: every role that a row names is declared, no role is a kind of
//! itself, ids are unique, ports are ports. All faults of a file are told at once, by line and
//! column.

use toml::de::DeValue;

use crate::matrix::fault::{Error, quoted, suggestion};
use crate::matrix::reader::{Reader, Table, Value, get};
use crate::matrix::{Direction, Matrix, PortRange, Requirement, Role};
use crate::net::Transport;

/// Ranges for a file that names none: Windows Server 2008 and later, and before.
const RPC_DYNAMIC: [PortRange; 2] =
    [PortRange { first: 1025, last: 5000 }, PortRange { first: 49152, last: 65535 }];

/// Services inside those ranges, for a file that names none: those of the default profile.
const NOT_RPC: [u16; 22] = [
    1433, 1434, 1688, 1701, 1723, 1801, 1900, 2049, 2383, 2701, 2702, 3260, 3268, 3269, 3306, 3343,
    3389, 3544, 3702, 4011, 4022, 4500,
];

/// Roles for a file that declares none.
const ROLES: [(&str, Option<&str>); 8] = [
    ("site-server", None),
    ("cas", Some("site-server")),
    ("primary", Some("site-server")),
    ("secondary", Some("site-server")),
    ("domain-controller", None),
    ("root-dc", Some("domain-controller")),
    ("child-dc", Some("domain-controller")),
    ("domain-member", None),
];

const TOP_KEYS: [&str; 5] = ["title", "rpc_dynamic", "not_rpc", "role", "requirement"];
const ROLE_KEYS: [&str; 2] = ["name", "kind_of"];
const ROW_KEYS: [&str; 15] = [
    "id",
    "service",
    "from",
    "to",
    "transport",
    "ports",
    "direction",
    "need",
    "one_of",
    "condition",
    "configurable",
    "answered",
    "listener_known",
    "symptom",
    "source",
];

impl Matrix {
    /// Reads a matrix. `path` is its name in messages and in the report.
    pub fn parse(text: &str, path: &str) -> Result<Matrix, Error> {
        let mut reader = Reader::new(text, path);
        let matrix = match reader.document() {
            Some(document) => reader.matrix(&document),
            None => None,
        };
        reader.finish(matrix)
    }
}

impl Reader<'_> {
    fn matrix(&mut self, document: &Table<'_>) -> Option<Matrix> {
        self.check_keys(document, &TOP_KEYS, "the matrix");
        let title = match get(document, "title") {
            Some(value) => self.text(value, "the title")?.to_owned(),
            None => self.path.to_owned(),
        };
        let rpc_dynamic = match get(document, "rpc_dynamic") {
            Some(value) => self.ranges(value, "rpc_dynamic"),
            None => RPC_DYNAMIC.to_vec(),
        };
        let not_rpc = match get(document, "not_rpc") {
            Some(value) => self.single_ports(value, "not_rpc"),
            None => NOT_RPC.to_vec(),
        };
        let roles = self.roles(document);
        let rows = self.tables(document, "requirement");
        let mut ids: Vec<(String, usize)> = Vec::new();
        let mut requirements = Vec::new();
        for (row, offset) in rows {
            requirements.extend(self.row(row, offset, &roles, &rpc_dynamic, &mut ids));
        }
        if requirements.is_empty() && self.fault_count() == 0 {
            let example = "add at least one [[requirement]] with service, from, to, transport \
                           and ports; \"matrix show configmgr-dc\" prints an example";
            self.fault(0, format!("the matrix has no requirement: {example}"));
        }
        Some(Matrix {
            name: self.path.to_owned(),
            title,
            roles,
            rpc_dynamic,
            not_rpc,
            requirements,
        })
    }

    /// The tables of an array of tables, with their places.
    fn tables<'v, 'i>(
        &mut self,
        document: &'v Table<'i>,
        key: &str,
    ) -> Vec<(&'v Table<'i>, usize)> {
        let Some(value) = get(document, key) else { return Vec::new() };
        let mut tables = Vec::new();
        for entry in Reader::one_or_many(value) {
            if let DeValue::Table(table) = entry.get_ref()
                && !matches!(value.get_ref(), DeValue::Table(_))
            {
                tables.push((table, entry.span().start));
            } else {
                self.fault(entry.span().start, format!("write [[{key}]], in double brackets"));
            }
        }
        tables
    }

    fn roles(&mut self, document: &Table<'_>) -> Vec<Role> {
        if get(document, "role").is_none() {
            let own = |name: Option<&str>| name.map(str::to_owned);
            let roles = ROLES.iter();
            return roles
                .map(|(name, wider)| Role { name: (*name).to_owned(), kind_of: own(*wider) })
                .collect();
        }
        let mut roles: Vec<Role> = Vec::new();
        let mut places = Vec::new();
        for (table, offset) in self.tables(document, "role") {
            self.check_keys(table, &ROLE_KEYS, "a role");
            let Some(value) = get(table, "name") else {
                self.fault(offset, "this role has no name: add name = \"…\"".to_owned());
                continue;
            };
            let Some(name) = self.word(value, "the name of a role") else { continue };
            if roles.iter().any(|role| role.name == name) {
                self.fault(value.span().start, format!("role {} stands twice", quoted(&name)));
                continue;
            }
            let wider = get(table, "kind_of");
            let kind_of = wider.and_then(|value| Some((self.text(value, "kind_of")?, value)));
            places.push(kind_of.map(|(_, value)| value.span().start));
            roles.push(Role { name, kind_of: kind_of.map(|(name, _)| name.to_owned()) });
        }
        for (index, place) in places.into_iter().enumerate() {
            if let Some(place) = place {
                self.check_kind(&roles, index, place);
            }
        }
        roles
    }

    /// Notes a role that is a kind of none, or of itself.
    fn check_kind(&mut self, roles: &[Role], index: usize, place: usize) {
        let mut chain: Vec<&str> = Vec::new();
        let mut next = roles.get(index);
        while let Some(role) = next {
            if let Some(first) = chain.first()
                && *first == role.name
            {
                let circle = chain.join("\" is a kind of \"");
                let message = format!(
                    "roles go round in a circle: \"{circle}\" is a kind of {}",
                    quoted(&role.name)
                );
                return self.fault(place, message);
            }
            if chain.contains(&role.name.as_str()) {
                return; // A circle further on; told where it is.
            }
            chain.push(&role.name);
            let Some(wider) = &role.kind_of else { return };
            next = roles.iter().find(|role| role.name == *wider);
            if next.is_none() && chain.len() == 1 {
                let end = suggestion(wider, roles.iter().map(|role| role.name.as_str()));
                self.fault(place, format!("kind_of names unknown role {}{end}", quoted(wider)));
            }
        }
    }

    /// One row, which is a requirement for each of its transports.
    fn row(
        &mut self,
        table: &Table<'_>,
        offset: usize,
        roles: &[Role],
        dynamic: &[PortRange],
        ids: &mut Vec<(String, usize)>,
    ) -> Vec<Requirement> {
        self.check_keys(table, &ROW_KEYS, "a requirement");
        let faults_before = self.fault_count();
        let service = self.needed(table, "service", offset).and_then(|value| {
            let service = self.text(value, "service")?;
            if service.trim().is_empty() {
                self.fault(value.span().start, "service is empty".to_owned());
            }
            Some(service.to_owned())
        });
        let from = self.needed(table, "from", offset).and_then(|value| self.role(value, roles));
        let to = self.needed(table, "to", offset).and_then(|value| self.role(value, roles));
        let transports = match self.needed(table, "transport", offset) {
            Some(value) => self.transports(value),
            None => Vec::new(),
        };
        let ports = self.needed(table, "ports", offset).map(|value| self.ports(value, dynamic));
        let direction = match get(table, "direction") {
            Some(value) => self.direction(value),
            None => Some(Direction::OneWay),
        };
        let need = self.need(table);
        let condition = get(table, "condition").and_then(|value| self.text(value, "condition"));
        let configurable = get(table, "configurable")
            .and_then(|value| self.word(value, "the name of a port that can be configured"));
        let mut yes_or_no = |key| match get(table, key) {
            Some(value) => self.yes_or_no(value, key),
            None => true,
        };
        let (answered, listener_known) = (yes_or_no("answered"), yes_or_no("listener_known"));
        let symptom = get(table, "symptom").and_then(|value| self.text(value, "symptom"));
        let source = get(table, "source").and_then(|value| self.text(value, "source"));
        let id = match get(table, "id") {
            Some(value) => self.word(value, "an id"),
            None => service.as_deref().map(id_from_service),
        };
        let (Some(service), Some(from), Some(to), Some((ports, rpc_dynamic))) =
            (service, from, to, ports)
        else {
            return Vec::new();
        };
        let (Some(direction), Some(need), Some(id)) = (direction, need, id) else {
            return Vec::new();
        };
        if self.fault_count() > faults_before {
            return Vec::new();
        }
        let several = transports.len() > 1;
        let requirement = |transport: Transport| Requirement {
            id: if several { format!("{id}-{transport}") } else { id.clone() },
            service: service.clone(),
            from: from.clone(),
            to: to.clone(),
            transport,
            ports: ports.clone(),
            rpc_dynamic,
            direction,
            need: need.clone(),
            condition: condition.map(str::to_owned),
            configurable: configurable.clone(),
            answered,
            listener_known,
            symptom: symptom.map(str::to_owned),
            source: source.map(str::to_owned),
        };
        let requirements: Vec<Requirement> = transports.into_iter().map(requirement).collect();
        let place = get(table, "id").map_or(offset, |value| value.span().start);
        for requirement in &requirements {
            if let Some((_, earlier)) = ids.iter().find(|(id, _)| *id == requirement.id) {
                let line = self.line_of(*earlier);
                let id = quoted(&requirement.id);
                let message = format!("id {id} stands in line {line} already: give another id");
                self.fault(place, message);
            } else {
                ids.push((requirement.id.clone(), place));
            }
        }
        requirements
    }

    fn needed<'v, 'i>(
        &mut self,
        table: &'v Table<'i>,
        key: &str,
        offset: usize,
    ) -> Option<&'v Value<'i>> {
        let value = get(table, key);
        if value.is_none() {
            self.fault(offset, format!("this requirement has no {key}"));
        }
        value
    }
}

/// "Global Catalog LDAP" gives "global-catalog-ldap".
fn id_from_service(service: &str) -> String {
    let words: Vec<String> = service
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if words.is_empty() { "requirement".to_owned() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Need;
    use crate::matrix::fault::{Fault, Position};

    const ROW: &str = "[[requirement]]\nservice = \"LDAP\"\nfrom = \"site-server\"\n\
                       to = \"domain-controller\"\n";

    fn row(rest: &str) -> Result<Matrix, Error> {
        Matrix::parse(&format!("{ROW}{rest}"), "site.toml")
    }

    /// Faults as "line:column message".
    fn faults(text: &str) -> Vec<String> {
        let error = Matrix::parse(text, "site.toml").unwrap_err();
        assert_eq!(error.path, "site.toml");
        error
            .faults
            .into_iter()
            .map(|Fault { position, message }| {
                let Position { line, column } = position.unwrap();
                format!("{line}:{column} {message}")
            })
            .collect()
    }

    #[test]
    fn a_row_needs_no_more_than_the_essentials() {
        let matrix = row("transport = \"tcp\"\nports = [389]\n").unwrap();
        let row = &matrix.requirements[0];
        assert_eq!((row.id.as_str(), row.ports_text().as_str()), ("ldap", "389"));
        assert_eq!((row.direction, &row.need), (Direction::OneWay, &Need::Required));
        assert!(row.listener_known && !row.rpc_dynamic);
    }

    #[test]
    fn each_transport_of_a_list_is_a_requirement() {
        let matrix = row("transport = [\"tcp\", \"udp\"]\nports = [389]\n").unwrap();
        let ids: Vec<&str> = matrix.requirements.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, ["ldap-tcp", "ldap-udp"]);
    }

    #[test]
    fn ports_are_numbers_ranges_and_the_dynamic_ranges() {
        let text = "transport = \"tcp\"\nports = [\"rpc-dynamic\", 389, \"8000-8010\"]\n";
        let matrix = row(text).unwrap();
        let row = &matrix.requirements[0];
        assert_eq!(row.ports_text(), "389,1025-5000,8000-8010,49152-65535");
        assert!(row.rpc_dynamic);
        let own = format!("rpc_dynamic = [\"50000-50100\"]\n{ROW}{text}");
        let matrix = Matrix::parse(&own, "site.toml").unwrap();
        assert_eq!(matrix.requirements[0].ports_text(), "389,8000-8010,50000-50100");
    }

    #[test]
    fn needs_are_read_in_each_of_their_forms() {
        for (text, need) in [
            ("need = \"required\"", Need::Required),
            ("need = \"optional\"", Need::Optional),
            ("need = { one_of = \"web\" }", Need::OneOf("web".to_owned())),
            ("one_of = \"web\"", Need::OneOf("web".to_owned())),
        ] {
            let matrix = row(&format!("transport = \"tcp\"\nports = 80\n{text}\n")).unwrap();
            assert_eq!(matrix.requirements[0].need, need);
        }
    }

    #[test]
    fn each_fault_has_its_place_and_the_word_that_was_meant() {
        let good = "transport = \"tcp\"\nports = [389]\n";
        for (text, fault) in [
            (
                "transport = \"tpc\"\nports = [389]\n",
                "5:13 unknown transport \"tpc\"; did you mean \"tcp\"?",
            ),
            (
                "transport = \"tcp\"\nprots = [389]\n",
                "6:1 unknown key \"prots\" in a requirement; did you mean \"ports\"?",
            ),
            ("transport = \"tcp\"\nports = [389, 0]\n", "6:15 0 is no port: ports are 1 to 65535"),
            (
                "transport = \"tcp\"\nports = [70000]\n",
                "6:10 70000 is no port: ports are 1 to 65535",
            ),
            ("transport = \"tcp\"\nports = [-1]\n", "6:10 -1 is no port: ports are 1 to 65535"),
            ("transport = \"tcp\"\nports = []\n", "6:9 the list of ports is empty"),
            (
                "transport = \"tcp\"\nports = [\"5000-1025\"]\n",
                "6:10 range 5000-1025 runs backwards; did you mean \"1025-5000\"?",
            ),
            (
                "transport = \"tcp\"\nports = [\"1-70000\"]\n",
                "6:10 \"1-70000\" is no range of ports 1 to 65535",
            ),
            (
                "transport = \"tcp\"\nports = [\"rpc-dynamc\"]\n",
                "6:10 \"rpc-dynamc\" is no range of ports 1 to 65535; did you mean \"rpc-dynamic\"?",
            ),
            (
                "transport = \"tcp\"\nports = [80, \"1-100\"]\n",
                "6:14 1-100 overlaps 80 of the same list",
            ),
            (
                &format!("{good}need = \"requird\"\n"),
                "7:8 unknown need \"requird\"; did you mean \"required\"?",
            ),
            (
                &format!("{good}need = \"one_of web\"\n"),
                "7:8 unknown need \"one_of web\"; write need = { one_of = \"GROUP\" }",
            ),
            (
                &format!("{good}need = {{ oneof = \"web\" }}\n"),
                "7:8 write need = { one_of = \"GROUP\" }",
            ),
            (
                &format!("{good}need = \"optional\"\none_of = \"web\"\n"),
                "8:10 need and one_of exclude each other: leave one of them out",
            ),
            (
                &format!("{good}direction = \"two-way\"\n"),
                "7:13 unknown direction \"two-way\"; known are \"one-way\" and \"both\"",
            ),
            (
                &format!("{good}id = \"a b\"\n"),
                "7:6 \"a b\" cannot be an id: use letters, digits and -",
            ),
            (&format!("{good}symptom = 3\n"), "7:11 symptom is a text in quotes"),
            (&format!("{good}condition = true\n"), "7:13 condition is a text in quotes"),
            (&format!("{good}answered = \"no\"\n"), "7:12 answered is true or false"),
            (
                &format!("{good}configurable = \"the port\"\n"),
                "7:16 \"the port\" cannot be the name of a port that can be configured: use \
                 letters, digits and -",
            ),
            (
                &format!("{good}id = \"x\"\n{ROW}id = \"x\"\n{good}"),
                "12:6 id \"x\" stands in line 7 already: give another id",
            ),
            ("transport = \"tcp\"\n", "1:1 this requirement has no ports"),
        ] {
            let found = faults(&format!("{ROW}{text}"));
            assert!(found.iter().any(|found| found == fault), "{found:?}, wanted {fault}");
        }
    }

    #[test]
    fn roles_are_checked() {
        let rows = format!("{ROW}transport = \"tcp\"\nports = [389]\n");
        let declared = "[[role]]\nname = \"site-server\"\n[[role]]\nname = \"domain-controller\"\n";
        assert!(Matrix::parse(&format!("{declared}{rows}"), "x").is_ok());
        assert_eq!(
            faults(&rows.replace("\"domain-controller\"", "\"dc\"")),
            ["4:6 unknown role \"dc\"; did you mean \"domain-controller\"?"]
        );
        assert_eq!(
            faults(&format!("{declared}kind_of = \"site-sever\"\n{rows}")),
            ["5:11 kind_of names unknown role \"site-sever\"; did you mean \"site-server\"?"]
        );
        let circle = "[[role]]\nname = \"site-server\"\nkind_of = \"domain-controller\"\n\
                      [[role]]\nname = \"domain-controller\"\nkind_of = \"site-server\"\n";
        let found = faults(&format!("{circle}{rows}"));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0],
            "3:11 roles go round in a circle: \"site-server\" is a kind of \
             \"domain-controller\" is a kind of \"site-server\""
        );
        let twice = "[[role]]\nname = \"domain-controller\"\n";
        assert_eq!(
            faults(&format!("{declared}{twice}{rows}")),
            ["6:8 role \"domain-controller\" stands twice"]
        );
    }

    #[test]
    fn a_matrix_without_a_requirement_is_a_fault() {
        assert!(faults("")[0].starts_with("1:1 the matrix has no requirement"));
        assert!(faults("title = \"x\"\n")[0].starts_with("1:1 the matrix has no requirement"));
        let typo = faults("[[requirements]]\nservice = \"LDAP\"\n");
        let meant = "1:3 unknown key \"requirements\" in the matrix; did you mean \"requirement\"?";
        assert_eq!(typo, [meant]);
        assert_eq!(
            faults("[requirement]\nservice = \"LDAP\"\n"),
            ["1:1 write [[requirement]], in double brackets"]
        );
    }

    #[test]
    fn what_is_not_toml_is_told_by_line_and_column() {
        let found = faults("title = \"x\"\nports = = 3\n");
        assert!(found[0].starts_with("2:9 this is not TOML: "), "{found:?}");
        assert!(Matrix::parse("\u{feff}title = 3", "x").unwrap_err().to_string().contains("title"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", row in "[a-z_]{1,9} = [\\[\\]\"0-9{}=, a-z-]{0,30}") {
            let _ = Matrix::parse(&text, "x");
            let parsed = Matrix::parse(&format!("[[requirement]]\n{row}\n"), "x");
            // A lone key never makes a whole row.
            proptest::prop_assert!(parsed.is_err());
        }
    }
}

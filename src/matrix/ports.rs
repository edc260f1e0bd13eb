//! Ports that the user gives for services whose port can be configured: `--port` and `[ports]`.
//!
//! A matrix names such services (`configurable = "sql"`). What is given replaces the ports of all
//! their rows, counts as a known service in every flow, and is never taken for dynamic RPC.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use crate::matrix::fault::{Error, Fault, quoted, suggestion};
use crate::matrix::reader::{Reader, Value};
use crate::matrix::{Matrix, PortRange};

/// The ports of a service, as given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenPort {
    /// Name of the service, as rows of the matrix have it in `configurable`.
    pub name: String,
    /// Its ports, sorted.
    pub ports: Vec<u16>,
}

impl Matrix {
    /// Names of the services whose ports can be given, sorted, with the ports they have now.
    pub fn configurable(&self) -> BTreeMap<&str, String> {
        let rows = self.requirements.iter();
        rows.filter_map(|row| Some((row.configurable.as_deref()?, row.ports_text()))).collect()
    }

    /// The matrix with these ports in place of its own. Of a name that is given twice the last
    /// one counts; a name that no row has changes nothing.
    #[must_use]
    pub fn with_ports(mut self, given: &[GivenPort]) -> Matrix {
        for GivenPort { name, ports } in given {
            let ranges: BTreeSet<PortRange> =
                ports.iter().map(|port| PortRange { first: *port, last: *port }).collect();
            let mut rows = self.requirements.iter_mut();
            if ranges.is_empty() || !rows.any(|row| row.configurable.as_deref() == Some(name)) {
                continue;
            }
            for row in &mut self.requirements {
                if row.configurable.as_deref() == Some(name) {
                    row.ports = ranges.iter().copied().collect();
                    row.rpc_dynamic = false;
                }
            }
            self.not_rpc.extend(ports);
            self.not_rpc.sort_unstable();
            self.not_rpc.dedup();
        }
        self
    }

    /// What is wrong with the name of a service whose port is given, if something is.
    fn check_configurable(&self, name: &str) -> Result<(), String> {
        let known = self.configurable();
        if known.contains_key(name) {
            return Ok(());
        }
        let name = quoted(name);
        if known.is_empty() {
            let matrix = quoted(&self.name);
            return Err(format!("the matrix {matrix} has no port that can be given, so no {name}"));
        }
        let mut end = suggestion(name.trim_matches('"'), known.keys().copied());
        if !end.starts_with("; did you mean") {
            end.clear();
        }
        let all: Vec<&str> = known.keys().copied().collect();
        Err(format!("no port is called {name}{end}; known are: {}", all.join(", ")))
    }
}

/// The last of those that are given for each name, sorted by name.
pub fn effective(given: Vec<GivenPort>) -> Vec<GivenPort> {
    let last: BTreeMap<String, GivenPort> =
        given.into_iter().map(|given| (given.name.clone(), given)).collect();
    last.into_values().collect()
}

/// Reads the argument of `--port`: `NAME=PORT[,PORT…]`.
pub fn parse_port_argument(text: &str, matrix: &Matrix) -> Result<GivenPort, Error> {
    read_argument(text, matrix).map_err(|messages| Error {
        path: "--port".to_owned(),
        faults: messages.into_iter().map(|message| Fault { position: None, message }).collect(),
    })
}

fn read_argument(text: &str, matrix: &Matrix) -> Result<GivenPort, Vec<String>> {
    let Some((name, list)) = text.split_once('=') else {
        let example = "write NAME=PORT, as in sql=1433,50000";
        return Err(vec![format!("{} gives no port: {example}", quoted(text))]);
    };
    let name = name.trim();
    let mut messages: Vec<String> = matrix.check_configurable(name).err().into_iter().collect();
    let mut ports = BTreeSet::new();
    for word in list.split(',').map(str::trim) {
        match word.parse::<u16>() {
            Ok(port) if port > 0 => {
                if !ports.insert(port) {
                    messages.push(format!("port {port} stands twice"));
                }
            }
            Ok(_) | Err(_) => {
                messages.push(format!("{} is no port: ports are 1 to 65535", quoted(word)));
            }
        }
    }
    if !messages.is_empty() {
        return Err(messages);
    }
    Ok(GivenPort { name: name.to_owned(), ports: ports.into_iter().collect() })
}

impl Reader<'_> {
    /// Reads the `[ports]` table of a roles file.
    pub(super) fn given_ports(&mut self, value: &Value<'_>, matrix: &Matrix) -> Vec<GivenPort> {
        let DeValue::Table(table) = value.get_ref() else {
            self.fault(value.span().start, "write [ports], and the ports below".to_owned());
            return Vec::new();
        };
        let mut given = Vec::new();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            if let Err(message) = matrix.check_configurable(name) {
                self.fault(key.span().start, message);
            }
            let faults = self.fault_count();
            let ports = self.single_ports(value, "ports");
            if ports.is_empty() && self.fault_count() == faults {
                self.fault(value.span().start, format!("{} has no port", quoted(name)));
            }
            given.push(GivenPort { name: name.to_owned(), ports });
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::matrix::sample::flow;
    use crate::matrix::{GivenRole, Told, assess, parse_roles_file};
    use crate::net::Transport;
    use crate::verdict::record::Verdict;

    fn matrix() -> Matrix {
        static MATRIX: LazyLock<Matrix> = LazyLock::new(|| Matrix::built_in("configmgr").unwrap());
        MATRIX.clone()
    }

    fn given(name: &str, ports: &[u16]) -> GivenPort {
        GivenPort { name: name.to_owned(), ports: ports.to_vec() }
    }

    #[test]
    fn given_ports_replace_those_of_every_row_of_their_service() {
        let matrix = matrix().with_ports(&[given("sql", &[1433, 50_000])]);
        for row in &matrix.requirements {
            let ports = row.ports_text();
            assert_eq!(
                ports == "1433,50000",
                row.configurable.as_deref() == Some("sql"),
                "{ports}"
            );
        }
        assert!(matrix.not_rpc.contains(&50_000) && matrix.not_rpc.is_sorted());
        let known = matrix.known_ports();
        assert!(known.is_service(Transport::Tcp, 50_000));
        assert!(!known.is_service(Transport::Udp, 50_000));
    }

    #[test]
    fn the_last_of_several_counts() {
        let all = vec![given("sql", &[1433]), given("http", &[8080]), given("sql", &[50_000])];
        assert_eq!(effective(all), [given("http", &[8080]), given("sql", &[50_000])]);
    }

    #[test]
    fn a_name_that_no_row_has_changes_nothing() {
        let plain = Matrix::built_in("configmgr-dc").unwrap();
        assert_eq!(plain.clone().with_ports(&[given("sql", &[50_000])]), plain);
        assert_eq!(plain.clone().with_ports(&[]), plain);
    }

    #[test]
    fn a_port_argument_names_a_service_and_its_ports() {
        let read = parse_port_argument(" sql = 50000, 1433", &matrix()).unwrap();
        assert_eq!(read, given("sql", &[1433, 50_000]));
        for (text, expected) in [
            ("1433", "--port: \"1433\" gives no port: write NAME=PORT, as in sql=1433,50000"),
            ("sql=", "--port: \"\" is no port: ports are 1 to 65535"),
            ("sql=0", "--port: \"0\" is no port: ports are 1 to 65535"),
            ("sql=1433,70000", "--port: \"70000\" is no port: ports are 1 to 65535"),
            ("sql=1433,1433", "--port: port 1433 stands twice"),
            ("sql=1433-1440", "--port: \"1433-1440\" is no port: ports are 1 to 65535"),
        ] {
            assert_eq!(parse_port_argument(text, &matrix()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = parse_port_argument("sqll=1433", &matrix()).unwrap_err().to_string();
        let meant = "--port: no port is called \"sqll\"; did you mean \"sql\"?; known are: ";
        assert!(error.starts_with(meant), "{error}");
        for name in ["service-broker", "wsus-http", "wsus-https", "client-notification"] {
            assert!(error.contains(name), "{error}");
        }
        let plain = Matrix::built_in("configmgr-dc").unwrap();
        assert_eq!(
            parse_port_argument("sql=1433", &plain).unwrap_err().to_string(),
            "--port: the matrix \"configmgr-dc\" has no port that can be given, so no \"sql\""
        );
    }

    #[test]
    fn ports_stand_in_a_roles_file_too() {
        let text = "[roles]\ncas = \"10.0.0.5\"\n[ports]\nsql = [1433, 50000]\nwsus-http = 80\n";
        let read = parse_roles_file(text, "roles.toml", &matrix()).unwrap();
        assert_eq!(read.roles.len(), 1);
        assert_eq!(read.ports, [given("sql", &[1433, 50_000]), given("wsus-http", &[80])]);
        let alone = parse_roles_file("[ports]\nsql = 50000\n", "roles.toml", &matrix()).unwrap();
        assert_eq!((alone.roles.len(), alone.ports.len()), (0, 1));
    }

    #[test]
    fn faults_of_ports_in_a_file_have_their_place() {
        for (text, expected) in [
            ("[ports]\nsqll = 1\n", "roles.toml: line 2, column 1: no port is called \"sqll\""),
            (
                "[ports]\nsql = [1433,\n  0]\n",
                "roles.toml: line 3, column 3: 0 is no port: ports are 1 to 65535",
            ),
            ("[ports]\nsql = []\n", "roles.toml: line 2, column 7: \"sql\" has no port"),
            (
                "[ports]\nsql = \"1433-1440\"\n",
                "roles.toml: line 2, column 7: ports lists single ports",
            ),
            ("ports = 3\n", "roles.toml: line 1, column 9: write [ports]"),
            (
                "[port]\nsql = 1\n",
                "roles.toml: line 1, column 2: unknown key \"port\"; did you mean",
            ),
        ] {
            let error = parse_roles_file(text, "roles.toml", &matrix()).unwrap_err().to_string();
            assert!(error.lines().any(|line| line.starts_with(expected)), "{error}");
        }
    }

    /// The rows that a flow from a site server to a SQL Server on a site system exercises.
    fn exercised(matrix: &Matrix, port: u16) -> Vec<String> {
        let (site, sql) = ("10.0.0.5", "10.0.0.6");
        let role =
            |role: &str, host: &str| GivenRole { role: role.into(), hosts: vec![host.into()] };
        let given = [role("primary", site), role("sql-server", sql), role("management-point", sql)];
        let flows = [flow(1, site, sql, "tcp", port, Verdict::NoReply)];
        let assessment = assess(matrix, &given, Told::default(), &flows);
        let cells = assessment.sheet.cells.iter().filter(|cell| !cell.flows.is_empty());
        cells.map(|cell| cell.requirement.to_string()).collect()
    }

    #[test]
    fn a_given_port_in_the_dynamic_range_is_not_taken_for_rpc() {
        let usual = exercised(&matrix(), 50_000);
        assert_eq!(usual, ["site-system-rpc-dynamic"]);
        let matrix = matrix().with_ports(&[given("sql", &[50_000])]);
        assert_eq!(exercised(&matrix, 50_000), ["site-sql"]);
        assert_eq!(exercised(&matrix, 50_001), usual);
    }

    #[test]
    fn a_port_that_is_given_away_is_no_longer_the_services() {
        let matrix = matrix().with_ports(&[given("sql", &[50_000])]);
        assert_eq!(exercised(&matrix, 1433), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,60}", ports in "[0-9,= -]{0,20}") {
            let _ = parse_port_argument(&text, &matrix());
            let read = parse_port_argument(&format!("sql={ports}"), &matrix());
            proptest::prop_assert!(read.is_err() || read.unwrap().ports.iter().all(|port| *port > 0));
        }
    }
}

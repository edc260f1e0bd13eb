//! Tokens in, a checked filter out.

use std::ops::Range;

use crate::filter::error::FilterError;
use crate::filter::field::{self, Field, Kind};
use crate::filter::lexer::{Token, TokenKind, tokens};
use crate::filter::value::Wanted;
use crate::filter::{Node, Relation, Test};
use crate::matrix::{quoted, suggestion};
use crate::net::{Address, Timestamp};

/// Brackets and negations within each other; a person needs three.
const DEEPEST: usize = 64;

pub(super) fn parse(text: &str) -> Result<Node, FilterError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Err(parser.missing("the filter is empty"));
    }
    let root = parser.any()?;
    match parser.peek() {
        None => Ok(root),
        Some(token) if token.kind == TokenKind::Sign(")") => {
            Err(parser.fail(token.place.clone(), "nothing opens this bracket"))
        }
        Some(token) => {
            Err(parser.fail(token.place.clone(), "\"and\" or \"or\" is missing before this"))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += usize::from(token.is_some());
        token
    }

    fn fail(&self, place: Range<usize>, message: impl Into<String>) -> FilterError {
        FilterError::new(self.text, place, message)
    }

    /// An error about what should stand at the end of the text.
    fn missing(&self, message: impl Into<String>) -> FilterError {
        self.fail(self.text.len()..self.text.len(), message)
    }

    /// Takes the next token if it is this sign.
    fn sign(&mut self, sign: &str) -> Option<Token> {
        let fits = matches!(self.peek()?.kind, TokenKind::Sign(found) if found == sign);
        if fits { self.take() } else { None }
    }

    /// Takes the next token if it is this word, bare.
    fn word(&mut self, word: &str) -> bool {
        let fits = matches!(
            self.peek().map(|token| &token.kind),
            Some(TokenKind::Word(found)) if found.eq_ignore_ascii_case(word)
        );
        self.next += usize::from(fits);
        fits
    }

    fn any(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all()?];
        while self.sign("||").is_some() || self.word("or") {
            nodes.push(self.all()?);
        }
        Ok(Node::Any(nodes))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut nodes = vec![self.negated()?];
        while self.sign("&&").is_some() || self.word("and") {
            nodes.push(self.negated()?);
        }
        Ok(Node::All(nodes))
    }

    fn negated(&mut self) -> Result<Node, FilterError> {
        if self.depth >= DEEPEST {
            let place = self.peek().map_or(self.text.len()..self.text.len(), |it| it.place.clone());
            let message = format!("brackets and \"not\" are nested more than {DEEPEST} deep");
            return Err(self.fail(place, message));
        }
        self.depth += 1;
        let node = if self.sign("!").is_some() || self.word("not") {
            Node::Not(Box::new(self.negated()?))
        } else if let Some(open) = self.sign("(") {
            let node = self.any()?;
            if self.sign(")").is_none() {
                return Err(match self.peek() {
                    None => self.fail(open.place, "this bracket is not closed"),
                    Some(token) => {
                        let message = "\"and\" or \"or\" is missing before this";
                        self.fail(token.place.clone(), message)
                    }
                });
            }
            node
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn test(&mut self) -> Result<Node, FilterError> {
        let Some(token) = self.take() else { return Err(self.missing("a test is missing")) };
        let name = match token.kind {
            TokenKind::Word(name) => name,
            TokenKind::Quoted(_) | TokenKind::Sign(_) => {
                return Err(self.fail(token.place, "a field is missing before this"));
            }
        };
        let Some(field) = field::find(&name) else {
            let known = suggestion(&name, field::FIELDS.iter().map(|field| field.name));
            let message = format!("unknown field {}{known}", quoted(&name));
            return Err(self.fail(token.place, message));
        };
        let (relation, negated) = self.relation(field)?;
        let wanted = self.values(field, relation)?;
        let test = Node::Test(Test { field, relation, wanted });
        Ok(if negated { Node::Not(Box::new(test)) } else { test })
    }

    /// The relation, and whether it is denied.
    fn relation(&mut self, field: &Field) -> Result<(Relation, bool), FilterError> {
        let missing = |parser: &Self, place| {
            let relations = relations_of(field.kind);
            parser.fail(place, format!("{} wants a relation: {relations}", quoted(field.name)))
        };
        let end = self.text.len()..self.text.len();
        let Some(token) = self.take() else { return Err(missing(self, end)) };
        let (relation, negated) = match &token.kind {
            TokenKind::Sign("=") => (Relation::Is, false),
            TokenKind::Sign("!=") => (Relation::Is, true),
            TokenKind::Sign("<") => (Relation::Less, false),
            TokenKind::Sign("<=") => (Relation::AtMost, false),
            TokenKind::Sign(">") => (Relation::More, false),
            TokenKind::Sign(">=") => (Relation::AtLeast, false),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("in") => (Relation::Is, false),
            TokenKind::Word(word) if word.eq_ignore_ascii_case("not") && self.word("in") => {
                (Relation::Is, true)
            }
            TokenKind::Word(word) if word.eq_ignore_ascii_case("contains") => {
                (Relation::Contains, false)
            }
            TokenKind::Word(_) | TokenKind::Quoted(_) | TokenKind::Sign(_) => {
                return Err(missing(self, token.place));
            }
        };
        let what = match (field.kind, relation) {
            (_, Relation::Is)
            | (
                Kind::Number | Kind::Time,
                Relation::Less | Relation::AtMost | Relation::More | Relation::AtLeast,
            )
            | (Kind::Word(_) | Kind::Text, Relation::Contains) => return Ok((relation, negated)),
            (Kind::Number, Relation::Contains) => "a number has no parts",
            (Kind::Time, Relation::Contains) => "a time has no parts",
            (Kind::Address, Relation::Contains) => "an address has no parts",
            (Kind::Address, _) => "an address has no order",
            (Kind::Word(_), _) => "a word has no order",
            (Kind::Text, _) => "a text has no order",
        };
        Err(self.fail(token.place, format!("{what}: use {}", relations_of(field.kind))))
    }

    fn values(&mut self, field: &Field, relation: Relation) -> Result<Vec<Wanted>, FilterError> {
        let open = self.sign("{");
        let start = self.peek().map_or(self.text.len(), |token| token.place.start);
        let mut wanted = vec![self.value(field, relation)?];
        while self.sign(",").is_some() {
            wanted.push(self.value(field, relation)?);
        }
        let end = self.tokens.get(self.next.saturating_sub(1)).map_or(start, |it| it.place.end);
        if let Some(open) = open
            && self.sign("}").is_none()
        {
            return Err(match self.peek() {
                None => self.fail(open.place, "this bracket is not closed"),
                Some(token) => self.fail(token.place.clone(), "a comma is missing before this"),
            });
        }
        let sign = match relation {
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::More => ">",
            Relation::AtLeast => ">=",
            Relation::Is | Relation::Contains => return Ok(wanted),
        };
        if wanted.len() > 1 {
            return Err(self.fail(start..end, format!("{sign} wants one value")));
        }
        if matches!(wanted.first(), Some(Wanted::Null)) {
            return Err(self.fail(start..end, "null has no order"));
        }
        Ok(wanted)
    }

    fn value(&mut self, field: &Field, relation: Relation) -> Result<Wanted, FilterError> {
        let Some(token) = self.take() else { return Err(self.missing("a value is missing")) };
        let (text, bare) = match token.kind {
            TokenKind::Word(text) => (text, true),
            TokenKind::Quoted(text) => (text, false),
            TokenKind::Sign(_) => {
                return Err(self.fail(token.place, "a value is missing before this"));
            }
        };
        if bare && text.eq_ignore_ascii_case("null") {
            return Ok(Wanted::Null);
        }
        wanted(field, relation, &text).map_err(|message| self.fail(token.place, message))
    }
}

fn relations_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Number | Kind::Time => "=, !=, in, <, <=, > or >=",
        Kind::Word(_) | Kind::Text => "=, !=, in, not in or contains",
        Kind::Address => "=, !=, in or not in",
    }
}

/// A value of the field's kind.
fn wanted(field: &Field, relation: Relation, text: &str) -> Result<Wanted, String> {
    match field.kind {
        Kind::Text => Ok(Wanted::Text(text.to_lowercase())),
        Kind::Word(_) if relation == Relation::Contains => Ok(Wanted::Text(text.to_lowercase())),
        Kind::Word(words) => {
            let words = words();
            if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
                return Ok(Wanted::Text(text.to_lowercase()));
            }
            let what = field.name.rsplit('.').next().unwrap_or_default();
            Err(format!("unknown {what} {}{}", quoted(text), suggestion(text, words)))
        }
        Kind::Number => numbers(text),
        Kind::Address => address(text),
        Kind::Time => match time(text) {
            Some(time) => Ok(Wanted::Time(time)),
            None => Err(format!("{} is no time like 2014-05-27T10:15:00Z", quoted(text))),
        },
    }
}

fn numbers(text: &str) -> Result<Wanted, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Wanted::Numbers(first..=last)),
        (Ok(first), Ok(last)) => {
            let meant = format!("{last}-{first}");
            Err(format!("range {first}-{last} runs backwards; did you mean {}?", quoted(&meant)))
        }
        _ => Err(format!(
            "{} is no number or range of numbers like 135 or 49152-65535",
            quoted(text)
        )),
    }
}

fn address(text: &str) -> Result<Wanted, String> {
    let fail = || {
        let text = quoted(text);
        format!("{text} is no address or block of addresses like 10.1.0.5 or 10.1.0.0/16")
    };
    if text.contains('/') {
        return text.parse().map(Wanted::Block).map_err(|_| fail());
    }
    text.parse::<Address>().map(Wanted::Address).map_err(|_| fail())
}

/// A time with a zone, or without one as the capture tells it (UTC for most).
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Timestamp::from_nanoseconds(instant.as_nanosecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Timestamp::from_nanoseconds(zoned.timestamp().as_nanosecond())
}

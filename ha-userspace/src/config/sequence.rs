//! `~SEQ(var, start, step, end)` and `~LST(var, value, …)`: one line processed several times.

use super::define::name_length;
use super::text::is_space;

/// What a `~` prefix asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Variables that are set before each pass.
    pub names: Vec<Vec<u8>>,
    /// The values, one row a pass.
    pub rows: Vec<Vec<Vec<u8>>>,
    /// Where the line that is repeated starts.
    pub rest: usize,
}

/// More passes than this is a mistake; the manual's largest example has 254.
const MAX_ROWS: usize = 100_000;

/// Parse the prefix of a line that starts with `~`.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(line: &[u8]) -> Result<Repeat, &'static str> {
    let (kind, from) = [(b"~SEQx(".as_slice(), 'x'), (b"~SEQ(", 'd'), (b"~LST(", 'l')]
        .into_iter()
        .find_map(|(prefix, kind)| line.starts_with(prefix).then_some((kind, prefix.len())))
        .ok_or("only ~SEQ(…), ~SEQx(…) and ~LST(…) start with `~`")?;
    let body = line.get(from..).unwrap_or_default();
    let close = body.iter().position(|byte| *byte == b')').ok_or("`)` is missing")?;
    let rest = from + close + 1;
    let fields = split(body.get(..close).unwrap_or_default())?;
    let (names, values) = fields.split_first().ok_or("the variable is missing")?;
    let names = group(names);
    if names.iter().any(|name| name.is_empty() || name_length(name) != name.len()) {
        return Err("the variable's name must be letters, digits and `_`");
    }
    let rows = if kind == 'l' {
        let rows: Vec<_> = values.iter().map(|value| group(value)).collect();
        if rows.is_empty() || rows.iter().any(|row| row.len() != names.len()) {
            return Err("each entry of a ~LST needs one value per variable");
        }
        rows
    } else {
        if names.len() != 1 {
            return Err("a ~SEQ has one variable");
        }
        numbers(values)?.map(|n| vec![format(n, kind == 'x')]).collect()
    };
    Ok(Repeat { names, rows, rest })
}

fn format(number: i64, hexadecimal: bool) -> Vec<u8> {
    if hexadecimal { format!("{number:x}").into_bytes() } else { number.to_string().into_bytes() }
}

fn numbers(values: &[&[u8]]) -> Result<impl Iterator<Item = i64>, &'static str> {
    let values: Vec<i64> = values.iter().map(|v| number(v)).collect::<Option<_>>().ok_or("not a number")?;
    let (start, step, end) = match *values.as_slice() {
        [end] => (if end < 0 { -1 } else { 1 }, None, end),
        [start, end] => (start, None, end),
        [start, step, end] => (start, Some(step), end),
        _ => return Err("a ~SEQ is (variable, start, step, end)"),
    };
    let step = step.unwrap_or(if end < start { -1 } else { 1 });
    let gap = i128::from(end) - i128::from(start);
    if step == 0 || gap.signum() * i128::from(step).signum() < 0 {
        return Err("the step never reaches the end");
    }
    let count = usize::try_from(gap / i128::from(step)).unwrap_or(usize::MAX).saturating_add(1);
    if count > MAX_ROWS {
        return Err("more than 100000 passes");
    }
    Ok((0_i64..).take(count).map(move |n| start.saturating_add(n.saturating_mul(step))))
}

fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    (0..1 << 40).contains(&value).then_some(sign * value)
}

/// Split at commas outside `{ }`, without the white space around the fields.
fn split(body: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    let (mut fields, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'{' if !inside => inside = true,
            b'}' if inside => inside = false,
            b'{' | b'}' => return Err("braces do not match"),
            b',' if !inside => {
                fields.push(trim(body.get(from..at).unwrap_or_default()));
                from = at + 1;
            }
            _ => {}
        }
        if fields.len() > MAX_ROWS {
            return Err("more than 100000 values");
        }
    }
    if inside {
        return Err("braces do not match");
    }
    fields.push(trim(body.get(from..).unwrap_or_default()));
    Ok(fields)
}

/// `{a, b}` or a single value.
fn group(field: &[u8]) -> Vec<Vec<u8>> {
    match field.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}")) {
        Some(inner) => inner.split(|byte| *byte == b',').map(|value| trim(value).to_vec()).collect(),
        None => vec![field.to_vec()],
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_space(**byte)).count();
    let text = text.get(start..).unwrap_or_default();
    let tail = text.iter().rev().take_while(|byte| is_space(**byte)).count();
    text.get(..text.len() - tail).unwrap_or_default()
}

//! Tables in Markdown.

/// The head of a table, and the line below it.
pub(super) fn head(columns: &[&str]) -> String {
    let rule: Vec<&str> = columns.iter().map(|_| "---").collect();
    format!("{}{}", row(columns), row(&rule))
}

/// A row of cells, whatever kind of text they are.
pub(super) fn row<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_a_rule_of_as_many_columns() {
        assert_eq!(
            head(&["a", "b c"]) + &row(&["1".to_owned(), String::new()]),
            "| a | b c |\n| --- | --- |\n| 1 |  |\n"
        );
    }
}

//! A page that needs nothing else: no network, light and dark, narrow and wide, on screen and paper.

/// The look of the page.
const STYLE: &str = include_str!("../../assets/report.css");
/// Sorts the table and makes the charts alive.
const SCRIPT: &str = include_str!("../../assets/report.js");
/// The charts' library: uPlot 1.6.32 (MIT), licence beside it; with its notice at the top of the file.
const UPLOT: &str = include_str!("../../assets/uplot/uPlot.iife.min.js");
/// Its look.
const UPLOT_STYLE: &str = include_str!("../../assets/uplot/uPlot.min.css");
/// Whatever the page holds, a browser fetches nothing for it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// HTML in the making.
pub(super) struct Page(String);

impl Page {
    /// A document with a heading, and what `body` puts below it.
    ///
    /// # Errors
    /// Those of `body`.
    pub(super) fn document<E>(
        title: &str,
        body: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut page = Self(String::new());
        let title = escaped(title);
        page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        page.raw(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n"));
        page.raw(&format!(
            "<title>{title}: busmark</title>\n<style>\n{UPLOT_STYLE}\n{STYLE}</style>\n</head>\n"
        ));
        page.raw(&format!("<body>\n<main>\n<h1>{title}</h1>\n"));
        body(&mut page)?;
        page.raw("<p id=\"said\" class=\"unseen\" role=\"status\"></p>\n</main>\n");
        page.raw(&format!("<script>{UPLOT}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
        Ok(page.0)
    }

    /// Markup, as it is.
    pub(super) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    /// A heading of the second level.
    pub(super) fn heading(&mut self, text: &str) {
        self.raw(&format!("<h2>{}</h2>\n", escaped(text)));
    }

    /// A paragraph.
    pub(super) fn line(&mut self, class: &str, text: &str) {
        self.raw(&format!("<p class=\"{class}\">{}</p>\n", escaped(text)));
    }

    /// A text to unfold; nothing if there is none.
    pub(super) fn details(&mut self, summary: &str, text: &str) {
        if !text.is_empty() {
            self.raw(&format!("<details><summary>{}</summary>", escaped(summary)));
            self.verbatim(text);
            self.raw("</details>\n");
        }
    }

    /// A text as it is, line for line. What may scroll sideways can be reached, and scrolled, by keyboard.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.raw(&format!("<pre tabindex=\"0\">{}</pre>\n", escaped(text)));
    }

    /// Begins a table that may scroll sideways, by keyboard too: its name for those who hear it, and its class.
    pub(super) fn begin_table(&mut self, label: &str, class: &str) {
        let label = escaped(label);
        self.raw(&format!("<div class=\"wide\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table class=\"{class}\">\n"));
    }

    /// A table of names and values.
    pub(super) fn facts(&mut self, label: &str, facts: &[(String, String)]) {
        self.begin_table(label, "facts");
        for (name, value) in facts {
            self.raw(&format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
                escaped(name),
                escaped(value)
            ));
        }
        self.raw("</table></div>\n");
    }
}

/// Text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_text_and_never_markup() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}

//! The page of a run needs nothing else, and says what the table says.

use busmark::report::{ResultsFolder, html, html_of_several};

use crate::fixture;

#[test]
fn the_page_is_whole_by_itself_and_starts_with_the_table() {
    let root = tempfile::tempdir().unwrap();
    let folder = fixture::finished(root.path());
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for outside in
        ["<script src", "<link", "src=", "url(", "@import", "fetch(", "XMLHttpRequest", "WebSocket("]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"), "and a browser is told to fetch nothing");
    // The namespace of SVG is a name, and uPlot's notice says where it comes from: neither is ever fetched.
    assert_eq!(page.matches("http://").count(), page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    assert_eq!(
        page.matches("https://").count(),
        page.matches("/*! https://github.com/leeoniya/uPlot").count()
    );
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.find("<table").unwrap() < page.find("<svg").unwrap());
    for words in [
        "<tr><th scope=\"row\">redis-8</th><td class=\"SUSPECT\">SUSPECT</td>",
        "<tr><th scope=\"row\">nats-2.11</th><td class=\"VALID\">VALID</td>",
        "<td data-key=\"205\">205 (0.0205 %)</td>",
        "<td data-key=\"Infinity\">",
        "a sleeper woke 12.0 ms late",
        "Not alike",
        "<pre tabindex=\"0\">busmark run redis-vs-jetstream</pre>",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("<tr").count(), page.matches("</tr>").count());
    assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
}

#[test]
fn two_runs_share_a_page_with_what_changed_and_every_chart_holds_both() {
    let root = tempfile::tempdir().unwrap();
    let first = ResultsFolder::open(fixture::finished(root.path()).path()).unwrap();
    let mut second = first.clone();
    second.dir = "results/after".into();
    let before = first.dir.file_name().unwrap().to_string_lossy().into_owned();
    let page = html_of_several(&[first, second]).unwrap();
    for words in [
        format!("<h1>{before} against after</h1>"),
        format!("<tr><th scope=\"row\">redis-8 ({before})</th>"),
        "<tr><th scope=\"row\">nats-2.11 (after)</th>".to_owned(),
        "<tr><th scope=\"row\">redis-8: delivery time p99</th>".to_owned(),
        "Machine of after".to_owned(),
        "default-src 'none'".to_owned(),
    ] {
        assert!(page.contains(&words), "{words}");
    }
    assert_eq!(page.matches("<svg").count(), 3, "one chart for both runs, not one for each");
    assert!(page.matches("×1.00").count() >= 4, "a run against itself is as large");
    assert_eq!(page.matches("<tr").count(), page.matches("</tr>").count());
    assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
}

#[test]
fn a_target_named_like_markup_stays_text() {
    let root = tempfile::tempdir().unwrap();
    let mut run = ResultsFolder::open(fixture::finished(root.path()).path()).unwrap();
    run.headlines[0].target = "<img onerror=x>".to_owned();
    run.manifest.scenario = "<b>".to_owned();
    let page = html(&run, &[]).unwrap();
    assert!(!page.contains("<img") && !page.contains("<b>"), "{page}");
}

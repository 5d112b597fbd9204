//! HTML indexes: links, and what stands beside each, in a list, in preformatted text or in a table.

use scraper::{ElementRef, Html, Selector};

use super::{Reach, Row, times};

/// Titles that servers give to a directory; a page with such a title may be empty.
const TITLES: [&str; 3] = ["index of", "directory listing", "directory list"];

/// Elements around a link, up to its row.
const DEPTH: usize = 16;
/// Cells of a row.
const CELLS: usize = 16;
/// Characters of a cell; sizes and times are short.
const TEXT: usize = 64;

pub(super) fn parse(reach: Reach<'_>, text: &str) -> Result<Vec<Row>, String> {
    let page = Html::parse_document(text);
    let links = Selector::parse("a[href]").map_err(|error| error.to_string())?;
    let rows: Vec<Row> = page.select(&links).filter_map(|link| row(reach, link)).collect();
    if rows.is_empty() && !titled(&page) {
        return Err("a page without links to anything below it".to_owned());
    }
    Ok(rows)
}

fn titled(page: &Html) -> bool {
    let Ok(title) = Selector::parse("title") else { return false };
    let title: String = page.select(&title).flat_map(|title| title.text()).collect();
    let title = title.trim().to_lowercase();
    TITLES.iter().any(|known| title.starts_with(known)) || title.starts_with('/')
}

fn row(reach: Reach<'_>, link: ElementRef<'_>) -> Option<Row> {
    let (resource, name, dir) = reach.follow(link.value().attr("href")?)?;
    let beside = beside(link);
    let size = beside.iter().rev().find_map(|text| exact(text)).filter(|_| !dir);
    let modified_us = beside.iter().find_map(|text| times::parse(text));
    Some(Row { name, dir, size, modified_us, resource })
}

/// What stands beside a link: the other cells of its row, or the text up to the next link. Of a page that puts all its
/// links into one row, little is looked at for each: it would be looked at again for the next.
fn beside(link: ElementRef<'_>) -> Vec<String> {
    let above: Vec<_> = link.ancestors().take(DEPTH).filter_map(ElementRef::wrap).collect();
    match above.iter().position(|element| element.value().name() == "tr") {
        Some(row) => above[row]
            .child_elements()
            .take(CELLS)
            .filter(|cell| !above[..row].iter().any(|element| element.id() == cell.id()))
            .flat_map(cell)
            .collect(),
        None => {
            link.next_sibling().and_then(|next| next.value().as_text().map(|text| columns(text))).unwrap_or_default()
        }
    }
}

/// A cell by the value that it is sorted by, by its time, and by its text.
fn cell(cell: ElementRef<'_>) -> Vec<String> {
    let mut texts: Vec<String> = cell.value().attr("data-order").map(str::to_owned).into_iter().collect();
    let times = cell.child_elements().take(CELLS).filter_map(|inner| inner.value().attr("datetime"));
    texts.extend(times.map(str::to_owned));
    texts.push(cell.text().flat_map(str::chars).skip_while(|c| c.is_whitespace()).take(TEXT).collect());
    texts
}

/// `29-Feb-2024 12:34     1234` has a time of two words and a size.
fn columns(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [day, time, rest @ ..] => {
            [vec![format!("{day} {time}")], rest.iter().map(|word| (*word).to_owned()).collect()].concat()
        }
        _ => words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// A size to the byte: digits and nothing else. `1.2M` is none.
fn exact(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

//! What git says while it clones, read as it comes: how far it is, and the words of the server.

/// Longest line that is kept, in characters: a server may never end one.
const LONGEST: usize = 400;

/// Who hears how a clone goes.
pub(super) trait News: Send {
    /// So many of so many of something.
    fn count(&mut self, what: &str, done: u64, total: u64);
    /// A line of git's, or of the server's.
    fn line(&mut self, line: &str);
}

/// Takes the output apart.
pub(super) struct Words {
    rest: Vec<u8>,
    tail: std::collections::VecDeque<String>,
    kept: usize,
}

impl Words {
    pub(super) fn new(kept: usize) -> Self {
        Self { rest: Vec::new(), tail: std::collections::VecDeque::new(), kept }
    }

    pub(super) fn push(&mut self, bytes: &[u8], news: &mut dyn News) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') || self.rest.len() >= 4 * LONGEST {
                self.end_line(news);
            } else {
                self.rest.push(*byte);
            }
        }
    }

    /// The last lines, without those that only tell how far it is.
    pub(super) fn into_tail(mut self, news: &mut dyn News) -> Vec<String> {
        self.end_line(news);
        self.tail.into()
    }

    fn end_line(&mut self, news: &mut dyn News) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned();
        let line: String = line.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect();
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if let Some((what, done, total)) = progress(line) {
            news.count(what, done, total);
            return;
        }
        news.line(line);
        if self.tail.len() == self.kept {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

/// `Receiving objects:  45% (450/1000), 1.20 MiB | 2.00 MiB/s`
fn progress(line: &str) -> Option<(&str, u64, u64)> {
    let (what, rest) = line.split_once(':')?;
    let what = what.trim();
    let (percent, rest) = rest.trim_start().split_once("% (")?;
    percent.trim().parse::<u8>().ok()?;
    let (done, rest) = rest.split_once('/')?;
    let (total, _) = rest.split_once(')')?;
    Some((what, done.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Vec<String>);

    impl News for Heard {
        fn count(&mut self, what: &str, done: u64, total: u64) {
            self.0.push(format!("{what} {done}/{total}"));
        }

        fn line(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }
    }

    #[test]
    fn progress_and_words_are_told_apart() {
        let mut heard = Heard::default();
        let mut words = Words::new(1);
        let said = b"Cloning into 'x'...\nremote: hi\x1b[2J\nReceiving objects:  45% (45/100), 1.2 MiB\rReceiving obj";
        words.push(said, &mut heard);
        words.push(b"ects: 100% (100/100), done.\nfatal: no", &mut heard);
        assert_eq!(words.into_tail(&mut heard), ["fatal: no"]);
        let expected = [
            "Cloning into 'x'...",
            "remote: hi[2J",
            "Receiving objects 45/100",
            "Receiving objects 100/100",
            "fatal: no",
        ];
        assert_eq!(heard.0, expected);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut heard = Heard::default();
        let mut words = Words::new(2);
        words.push(&vec![b'x'; 1 << 20], &mut heard);
        assert!(words.rest.len() <= 4 * LONGEST && words.tail.len() <= 2);
    }
}

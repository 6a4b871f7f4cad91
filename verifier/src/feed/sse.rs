//! Server-sent events, taken out of bytes as they come (WHATWG HTML 9.2.6): lines that end in LF, CR
//! or both, fields `event` and `data`, comments. Bounded: an event that does not end is an error.

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
}

/// An event longer than any that Vestibule sends, or no UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAStream;

/// What has come of the event that is under way.
#[derive(Debug)]
pub(super) struct Events {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    bytes_max: usize,
}

impl Events {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { line: Vec::new(), event: Event::default(), has_data: false, after_cr: false, bytes_max }
    }

    /// Takes bytes in; gives the events that they end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, NotAStream> {
        let mut ended = Vec::new();
        for byte in bytes {
            let second_half = std::mem::replace(&mut self.after_cr, *byte == b'\r') && *byte == b'\n';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => ended.extend(self.end_line()?),
                other => {
                    if self.line.len() + self.event.data.len() >= self.bytes_max {
                        return Err(NotAStream);
                    }
                    self.line.push(*other);
                }
            }
        }
        Ok(ended)
    }

    fn end_line(&mut self) -> Result<Option<Event>, NotAStream> {
        let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| NotAStream)?;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok(std::mem::take(&mut self.has_data).then_some(event));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // The cursor stands in the data; `retry` is ours to decide; an empty name is a comment.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    const STREAM: &str = ": hello\n\nevent: revocations\r\nid: c1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nevent:heartbeat\rdata: {}\r\rdata\n\nretry: 5\n\nevent: x\n\ndata: \u{e4}\n\n";

    #[test]
    fn events_come_out_however_the_bytes_are_cut() {
        let all = [
            event("revocations", "{\"a\":\n1}"),
            event("heartbeat", "{}"),
            event("", ""),
            event("", "\u{e4}"),
        ];
        for size in 1..=STREAM.len() {
            let mut events = Events::new(1_000);
            let mut found = Vec::new();
            for chunk in STREAM.as_bytes().chunks(size) {
                found.extend(events.take(chunk).unwrap());
            }
            assert_eq!(found, all, "cut by {size}");
        }
    }

    #[test]
    fn what_does_not_end_and_what_is_no_text_is_no_stream() {
        let mut events = Events::new(100);
        assert_eq!(events.take(&[b'x'; 100]), Ok(vec![]));
        assert_eq!(events.take(b"x"), Err(NotAStream));
        let mut events = Events::new(100);
        let mut lines = (0..30).map(|_| events.take(b"data: 1234\n"));
        assert!(lines.any(|taken| taken.is_err()), "many lines are as long as one");
        assert_eq!(Events::new(100).take(b"data: \xff\n"), Err(NotAStream));
    }
}

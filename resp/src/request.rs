//! A request as its receiver sees it: borrowed arguments, nothing copied.

/// Where an argument stands. Half the size of a pair of `usize`: a request of a million
/// arguments keeps a million of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A complete request, borrowed from the input (an inline one: from the decoder's scratch).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What the spans point into.
    pub(crate) bytes: &'a [u8],
    pub(crate) spans: &'a [Span],
    pub(crate) consumed: usize,
}

impl<'a> Request<'a> {
    /// The number of arguments, the command's name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is nothing to do: a blank line, `*0` or `*-1`. Such a request gets no reply
    /// but is consumed all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `i`; the command's name is 0.
    #[inline]
    #[must_use]
    pub fn arg(&self, i: usize) -> Option<&'a [u8]> {
        self.spans.get(i).map(|span| slice(self.bytes, *span))
    }

    /// All arguments, the command's name first.
    pub fn args(
        &self,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| slice(bytes, *span))
    }

    /// How many bytes of the input it took: drop them before decoding again.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.consumed
    }
}

/// Whether a command's name is one that only a browser would send: `POST` or `Host:`, in any
/// case. The decoder refuses such requests itself, with
/// [`ProtocolError::Http`](crate::ProtocolError::Http).
#[must_use]
pub fn is_http(name: &[u8]) -> bool {
    match name.len() {
        4 => name.eq_ignore_ascii_case(b"POST"),
        5 => name.eq_ignore_ascii_case(b"Host:"),
        _ => false,
    }
}

#[inline]
fn slice(bytes: &[u8], span: Span) -> &[u8] {
    // The decoder makes spans only of what it has seen.
    &bytes[span.start as usize..span.end as usize]
}

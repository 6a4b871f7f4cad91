//! A body that is written while it is read: the writer waits until its reader has taken the last piece.

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// An `Err` breaks the connection off, so that a part is never taken for the whole.
pub(super) type Writer = mpsc::Sender<io::Result<Bytes>>;

pub(super) struct Streamed(mpsc::Receiver<io::Result<Bytes>>);

pub(super) fn streamed() -> (Writer, Streamed) {
    let (writer, reader) = mpsc::channel(1);
    (writer, Streamed(reader))
}

impl MessageBody for Streamed {
    type Error = io::Error;
    fn size(&self) -> BodySize {
        BodySize::Stream
    }
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.0.poll_recv(cx)
    }
}

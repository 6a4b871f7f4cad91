//! A request's body has a deadline. A sender of one byte a second would otherwise keep a request, its
//! memory and its place for as long as it likes. Whoever reads the body meets an error then; what was
//! decided before the body came is decided again by the writing transaction.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    middleware::Next,
    web::Bytes,
};
use futures_core::Stream;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// How long a body may take to arrive, from the request's head on.
#[derive(Clone, Copy, Debug)]
pub struct BodyDeadline(pub Duration);

struct Hurried {
    payload: Payload,
    end: Pin<Box<Sleep>>,
}

impl Stream for Hurried {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))));
        }
        Pin::new(&mut self.payload).poll_next(cx)
    }
}

pub async fn hurry(
    mut req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(BodyDeadline(patience)) = req.app_data::<BodyDeadline>().copied() {
        match req.take_payload() {
            Payload::None => {}
            payload => {
                let hurried = Hurried { payload, end: Box::pin(sleep(patience)) };
                req.set_payload(Payload::Stream { payload: Box::pin(hurried) });
            }
        }
    }
    next.call(req).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{App, HttpServer, middleware, rt::System, web};
    use std::{io::Write, net::TcpStream, time::Instant};

    #[test]
    fn a_body_that_dribbles_is_answered_at_its_deadline_and_a_whole_one_is_read() {
        System::new().block_on(async {
            let server = HttpServer::new(|| {
                let read = |body: Bytes| async move { body.len().to_string() };
                App::new()
                    .app_data(BodyDeadline(Duration::from_millis(300)))
                    .wrap(middleware::from_fn(hurry))
                    .route("/", web::post().to(read))
            });
            let server = server.workers(1).bind("127.0.0.1:0").unwrap();
            let at = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            let served = actix_web::rt::spawn(server);
            let asked = |body: &'static [u8], length: usize| {
                std::thread::spawn(move || {
                    let mut socket = TcpStream::connect(at).unwrap();
                    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
                    socket.write_all(head.as_bytes()).unwrap();
                    let start = Instant::now();
                    // A byte at a time, as long as somebody listens.
                    for byte in body {
                        std::thread::sleep(Duration::from_millis(20));
                        if socket.write_all(&[*byte]).is_err() {
                            break;
                        }
                    }
                    let mut answer = [0; 12];
                    io::Read::read_exact(&mut socket, &mut answer).unwrap();
                    (String::from_utf8(answer.to_vec()).unwrap(), start.elapsed())
                })
            };
            let (late, whole) = (asked(b"abcde", 100), asked(b"abcde", 5));
            let (late, whole) =
                actix_web::rt::task::spawn_blocking(|| (late.join().unwrap(), whole.join().unwrap()))
                    .await
                    .unwrap();
            assert_eq!(late.0, "HTTP/1.1 400");
            assert!(late.1 < Duration::from_secs(3), "{:?}", late.1);
            assert_eq!(whole.0, "HTTP/1.1 200");
            handle.stop(false).await;
            served.await.unwrap().unwrap();
        });
    }
}

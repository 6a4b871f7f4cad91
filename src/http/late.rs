//! A request's body has a deadline. A sender of one byte a second would otherwise keep a request, its
//! memory and its place for as long as it likes. Whoever reads the body meets an error then; what was
//! decided before the body came is decided again by the writing transaction.
//!
//! A small body that nobody read is read to its end before the answer goes: the server closes a connection on
//! which something is left, and whoever is told to wait would pay for another handshake.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{Method, Version, header},
    middleware::Next,
    web::Bytes,
};
use futures_core::Stream;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep, timeout};

/// How long a body may take to arrive, from the request's head on.
#[derive(Clone, Copy, Debug)]
pub struct BodyDeadline(pub Duration);

/// The longest body that is read to its end for nobody, and how long an answer waits for that.
const LEFT_BYTES_MAX: u64 = 64 * 1_024;
const LEFT_PATIENCE: Duration = Duration::from_millis(200);

struct Hurried {
    payload: Payload,
    end: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Hurried {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            self.is_over = true;
            return Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))));
        }
        let chunk = ready!(Pin::new(&mut self.payload).poll_next(cx));
        self.is_over = !matches!(chunk, Some(Ok(_)));
        Poll::Ready(chunk)
    }
}

/// A body that the handler reads, and after it whoever finishes it.
#[derive(Clone)]
struct Shared(Rc<RefCell<Hurried>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll(cx)
    }
}

impl Shared {
    async fn finish(&self) {
        let rest = poll_fn(|cx| {
            let mut body = self.0.borrow_mut();
            while !body.is_over {
                ready!(body.poll(cx));
            }
            Poll::Ready(())
        });
        // What does not come is not waited for: the connection closes.
        let _ = timeout(LEFT_PATIENCE, rest).await;
    }
}

/// Is it short, and on its way? Whoever asks first whether to send it (`Expect`) may have been told no; what upgrades has
/// no end; and a proxy asks about a request by GET with the length of a body that it keeps.
fn is_small(req: &ServiceRequest) -> bool {
    let headers = req.headers();
    let is_read = [Method::GET, Method::HEAD].contains(req.method());
    let length = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    req.version() < Version::HTTP_2
        && length.is_some_and(|length| length <= LEFT_BYTES_MAX)
        && !is_read
        && !headers.contains_key(header::EXPECT)
        && !headers.contains_key(header::UPGRADE)
}

pub async fn hurry(
    mut req: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut left = None;
    if let Some(BodyDeadline(patience)) = req.app_data::<BodyDeadline>().copied() {
        match req.take_payload() {
            Payload::None => {}
            payload => {
                let hurried = Hurried { payload, end: Box::pin(sleep(patience)), is_over: false };
                let body = Shared(Rc::new(RefCell::new(hurried)));
                left = is_small(&req).then(|| body.clone());
                req.set_payload(Payload::Stream { payload: Box::pin(body) });
            }
        }
    }
    let response = next.call(req).await?;
    if let Some(body) = left {
        body.finish().await;
    }
    Ok(response)
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

    #[test]
    fn only_what_is_short_and_on_its_way_is_waited_for() {
        let post = || actix_web::test::TestRequest::post().insert_header((header::CONTENT_LENGTH, "9"));
        let small = |request: actix_web::test::TestRequest| is_small(&request.to_srv_request());
        assert!(small(post()));
        assert!(small(post().insert_header((header::CONTENT_LENGTH, LEFT_BYTES_MAX.to_string()))));
        assert!(!small(post().insert_header((header::CONTENT_LENGTH, (LEFT_BYTES_MAX + 1).to_string()))));
        assert!(!small(actix_web::test::TestRequest::post()));
        assert!(!small(post().method(Method::GET)) && !small(post().method(Method::HEAD)));
        assert!(!small(post().insert_header((header::EXPECT, "100-continue"))));
        assert!(!small(post().insert_header((header::UPGRADE, "websocket"))));
        assert!(!small(post().version(Version::HTTP_2)));
    }

    #[test]
    fn whoever_is_refused_before_a_small_body_was_read_keeps_the_connection() {
        System::new().block_on(async {
            let server = HttpServer::new(|| {
                let refuse = || async { actix_web::HttpResponse::TooManyRequests().finish() };
                App::new()
                    .app_data(BodyDeadline(Duration::from_secs(9)))
                    .wrap(middleware::from_fn(hurry))
                    .route("/", web::post().to(refuse))
            });
            let server = server.workers(1).bind("127.0.0.1:0").unwrap();
            let at = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            let served = actix_web::rt::spawn(server);
            // How many of these were answered on one connection, and how long that took.
            let answered = |heads: Vec<(usize, usize)>| {
                std::thread::spawn(move || {
                    let mut socket = TcpStream::connect(at).unwrap();
                    let start = Instant::now();
                    let mut count = 0;
                    for (length, sent) in heads {
                        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
                        let _ = socket.write_all(head.as_bytes());
                        // After its head, in a packet of its own.
                        std::thread::sleep(Duration::from_millis(5));
                        let _ = socket.write_all(&vec![b'x'; sent]);
                        let mut answer = [0; 1_024];
                        let read = io::Read::read(&mut socket, &mut answer).unwrap_or(0);
                        count += usize::from(answer[..read].starts_with(b"HTTP/1.1 429"));
                    }
                    (count, start.elapsed())
                })
            };
            let small = answered(vec![(5, 5), (9_000, 9_000), (0, 0), (5, 5)]);
            let absent = answered(vec![(5, 0), (5, 5)]);
            let large = answered(vec![(1_000_000, 9_000), (5, 5)]);
            let [small, absent, large] =
                actix_web::rt::task::spawn_blocking(|| [small, absent, large].map(|one| one.join().unwrap()))
                    .await
                    .unwrap();
            assert_eq!(small.0, 4);
            assert_eq!((absent.0, large.0), (1, 1), "what does not come, or is too much, closes it");
            assert!(absent.1 < Duration::from_secs(3), "{:?}", absent.1);
            handle.stop(false).await;
            served.await.unwrap().unwrap();
        });
    }
}

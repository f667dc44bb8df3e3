//! Takes connections, and gives up those of clients that send too much or too slowly.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// How long a client may take for the head of a request, and do nothing between two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of the longest head of a request.
const LONGEST_HEAD: usize = 64 << 10;
/// Time after which connections are taken again, once there are too many.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers connections, each in a task of its own.
pub(super) async fn accept(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(LONGEST_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let _ = connection.await; // a client may go away at any time
        });
    }
}

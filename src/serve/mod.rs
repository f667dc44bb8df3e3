//! A preview server for a built site: on this machine only, never outside its folder, rebuilding on change.

mod connections;
mod files;
mod watch;

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch as channel;

use crate::hint::Hint;

use files::Target;

/// What can go wrong with the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder cannot be served.
    #[error("cannot serve `{path}`: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port cannot be listened to.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server cannot be started.
    #[error("the server cannot be started: {0}")]
    Server(io::Error),
}

impl Hint for ServeError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another program uses this port; choose one with `--port`, 0 for any that is free",
            ),
            Self::Folder { .. } => Some("build the site first: `neuroscope build`"),
            _ => None,
        };
        hint.map(Cow::from)
    }
}

/// What to serve.
pub struct Server<'a> {
    /// The site.
    pub root: &'a Path,
    /// Port on the loopback address; 0 for any that is free.
    pub port: u16,
    /// Names the files and folders whose changes call `rebuild`, at every look anew.
    pub watch: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    /// Builds the site again; answers whether it changed.
    pub rebuild: Box<dyn FnMut() -> bool + Send>,
}

struct Shared {
    root: PathBuf,
    version: channel::Receiver<u64>,
}

/// Path under which the server's own answers are; no file of a site begins with a dot.
const RELOAD_SCRIPT: &str = "/.neuroscope/reload.js";
const VERSION: &str = "/.neuroscope/version";

/// Serves until `stop` answers true. `ready` is called with the address.
pub fn serve(
    server: Server<'_>,
    ready: impl FnOnce(SocketAddr),
    stop: impl Fn() -> bool,
) -> Result<(), ServeError> {
    let folder = |source| ServeError::Folder {
        path: server.root.to_owned(),
        source,
    };
    server.root.canonicalize().map_err(folder)?;
    let root = std::path::absolute(server.root).map_err(folder)?;
    let (changed, version) = channel::channel(0u64);
    let _watcher = watch::watch(server.watch, server.rebuild, changed);
    let shared = Arc::new(Shared { root, version });
    let router = Router::new()
        .route(RELOAD_SCRIPT, get(reload_script))
        .route(VERSION, get(wait_for_change))
        .fallback(answer)
        .with_state(shared)
        .layer(axum::middleware::from_fn(only_this_machine));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(ServeError::Server)?;
    let served = runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
        ready(listener.local_addr().map_err(ServeError::Server)?);
        let stopped = async {
            while !stop() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = connections::accept(listener, router) => {}
            () = stopped => {}
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

/// Refuses requests by a name that is not this machine's: a page of another host may have let its name lead here.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST);
    let named = named.map(|host| host.to_str().unwrap_or_default());
    let asked = request.uri().authority().map(Authority::as_str);
    match named.into_iter().chain(asked).all(is_this_machine) {
        true => next.run(request).await,
        false => StatusCode::MISDIRECTED_REQUEST.into_response(),
    }
}

/// Whether a host, perhaps with a port, is this machine by any of its own names.
fn is_this_machine(host: &str) -> bool {
    let Ok(host) = host.parse::<Authority>() else {
        return false;
    };
    let name = host.host().to_ascii_lowercase();
    let inner = name.trim_start_matches('[').trim_end_matches(']');
    let address = inner.parse::<IpAddr>();
    let is_own_name = name == "localhost" || name.ends_with(".localhost");
    !host.as_str().contains('@')
        && (is_own_name || address.is_ok_and(|address| address.is_loopback()))
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if !matches!(
        *request.method(),
        axum::http::Method::GET | axum::http::Method::HEAD
    ) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path();
    let found = files::find(&shared.root, path).or_else(|| {
        // the page for what is missing names its scripts and styles from the root of the host
        let inner = files::without_base(&shared.root, path)?;
        files::find(&shared.root, &inner)
    });
    match found {
        Some(Target::Folder(address)) => {
            let query = request.uri().query().map(|query| format!("?{query}"));
            let location = address + &query.unwrap_or_default();
            (
                StatusCode::MOVED_PERMANENTLY,
                [(header::LOCATION, location)],
            )
                .into_response()
        }
        Some(Target::Page(path)) => page(&path, StatusCode::OK).await,
        Some(Target::File(path)) => {
            let service = tower_http::services::ServeFile::new(path);
            match tower::ServiceExt::oneshot(service, request).await {
                Ok(response) => no_cache(response.into_response()),
                Err(never) => match never {},
            }
        }
        None => match files::find(&shared.root, "/404.html") {
            Some(Target::Page(path)) => page(&path, StatusCode::NOT_FOUND).await,
            _ => StatusCode::NOT_FOUND.into_response(),
        },
    }
}

/// A page with the script that loads it again after a change.
async fn page(path: &Path, status: StatusCode) -> Response {
    match tokio::fs::read(path).await {
        Ok(mut html) => {
            html.extend_from_slice(
                format!("<script type=\"module\" src=\"{RELOAD_SCRIPT}\"></script>\n").as_bytes(),
            );
            no_cache(
                (
                    status,
                    [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
                    html,
                )
                    .into_response(),
            )
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn no_cache(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn reload_script() -> Response {
    const SCRIPT: &str = r#"let known;
for (;;) {
  try {
    const version = await (await fetch("/.neuroscope/version" + (known === undefined ? "" : "?" + known))).text();
    if (known !== undefined && version !== known) location.reload();
    known = version;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}
"#;
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        SCRIPT,
    )
        .into_response()
}

/// The number of builds so far; a reader that knows it is answered when it changes, or after a while.
async fn wait_for_change(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mut version = shared.version.clone();
    let known = request
        .uri()
        .query()
        .and_then(|query| query.parse::<u64>().ok());
    let changed = version.wait_for(|version| Some(*version) != known);
    let _ = tokio::time::timeout(Duration::from_secs(20), changed).await;
    let now = shared.version.borrow().to_string();
    no_cache(now.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "localhost",
            "localhost:8000",
            "LocalHost:1",
            "127.0.0.1:8000",
            "127.1.2.3",
            "[::1]:8000",
            "[::1]",
            "atlas.localhost:80",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "example.org:8000",
            "127.0.0.1.example.org",
            "localhost.example.org",
            "10.0.0.1:8000",
            "0.0.0.0:8000",
            "[::]:8000",
            "user@localhost",
            "localhost, example.org",
            "evil.org#localhost",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}

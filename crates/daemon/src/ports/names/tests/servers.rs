//! Servers in containers that speak something else than HTTP/1.1 in the clear.

use devcontainer::{PortAttributes, PortRules, Protocol};
use http_body_util::BodyExt as _;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// A body, and what follows it.
fn with_trailers(
    body: &'static str,
    name: &'static str,
    value: &'static str,
) -> impl hyper::body::Body<Data = Bytes, Error = hyper::Error> {
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert(name, hyper::header::HeaderValue::from_static(value));
    let frames = [Ok(Frame::data(Bytes::from_static(body.as_bytes()))), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures::stream::iter(frames))
}

#[tokio::test]
async fn grpc_is_http2_up_to_the_server_and_back_with_its_trailers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| async move {
            assert_eq!((request.version(), request.uri().path()), (hyper::Version::HTTP_2, "/shop.Cart/Add"));
            assert_eq!(request.headers()["te"], "trailers");
            let body = request.into_body().collect().await?;
            assert_eq!(body.trailers().unwrap()["sent"], "yes");
            assert_eq!(body.to_bytes(), "apple");
            let mut answer = Response::new(with_trailers("added", "grpc-status", "0"));
            answer
                .headers_mut()
                .insert("content-type", hyper::header::HeaderValue::from_static("application/grpc"));
            Ok::<_, hyper::Error>(answer)
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    });
    let stage = Stage::new(inside, "cart").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stage.connect().await))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}/shop.Cart/Add", stage.host()))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(with_trailers("apple", "sent", "yes"))
        .unwrap();
    let answer = soon("the answer", sender.send_request(request)).await.unwrap();
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(body.to_bytes(), "added");
}

#[tokio::test]
async fn a_server_that_speaks_https_itself_is_spoken_to_in_that() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = service_fn(|_| async {
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("by TLS"))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let https = PortAttributes { protocol: Some(Protocol::Https), ..PortAttributes::default() };
    let rules = PortRules::new(&[(inside.to_string(), https)], None);
    let stage = Stage::with(inside, "node", rules).await;
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", stage.host());
    let answer = stage.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("by TLS"), "{answer}");
}

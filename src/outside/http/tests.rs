use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use reqwest::dns::Resolve;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::nodes::{Origin, Rights};

/// Gives each name the addresses of the test, a new list for every look-up.
#[derive(Default)]
struct Names(Mutex<HashMap<String, Vec<Vec<SocketAddr>>>>);

impl Names {
    fn of(names: &[(&str, &[&str])]) -> Arc<Self> {
        let lists = names.iter().map(|(name, answers)| {
            let answers = answers.iter().map(|it| it.split(' ').map(|it| it.parse().expect("an address")).collect());
            ((*name).to_owned(), answers.collect())
        });
        Arc::new(Self(Mutex::new(lists.collect())))
    }
}

impl LookUp for Names {
    fn look_up(&self, name: &str) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let mut lists = self.0.lock().expect("no test panics with it");
        let answer = lists.get_mut(name).map(|it| if it.len() > 1 { it.remove(0) } else { it[0].clone() });
        Box::pin(async move { answer.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

fn request(url: impl Into<String>, rights: Rights) -> HttpRequest {
    HttpRequest {
        method: "GET".into(),
        url: url.into(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        timeout: Duration::from_secs(20),
        rights: Arc::new(rights),
    }
}

fn local() -> Rights {
    Rights::of(Origin::Local, true, false)
}

fn submitted() -> Rights {
    Rights::of(Origin::Submitted, true, false)
}

async fn server(answers: &[(&str, &str, ResponseTemplate)]) -> MockServer {
    let server = MockServer::start().await;
    for (verb, at, answer) in answers {
        Mock::given(method(*verb)).and(path(*at)).respond_with(answer.clone()).mount(&server).await;
    }
    server
}

fn to(location: &str, status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status).insert_header("location", location)
}

/// What a server was sent, as `METHOD /path` and the named header.
async fn seen(server: &MockServer, header: &str) -> Vec<(String, Option<String>)> {
    let requests = server.received_requests().await.expect("it records");
    let shown = |it: &wiremock::Request| {
        let value = it.headers.get(header).map(|it| it.to_str().expect("text").to_owned());
        (format!("{} {}", it.method, it.url.path()), value)
    };
    requests.iter().map(shown).collect()
}

#[tokio::test]
async fn a_request_is_sent_whole_and_its_answer_read_whatever_its_status() {
    let answer = ResponseTemplate::new(404).insert_header("X-It", "yes").set_body_string("gone");
    let server = server(&[("PUT", "/a", answer)]).await;
    let mut request = request(format!("{}/a?x=1", server.uri()), local());
    request.method = "PUT".into();
    request.query = vec![("q".into(), "a b&c".into())];
    request.headers = vec![("X-Key".into(), "k".into())];
    request.body = Some(b"body".to_vec());
    let reply = GuardedHttp::new().send(request).await.expect("an answer");
    assert_eq!((reply.status, reply.header("x-it"), reply.body.as_slice()), (404, Some("yes"), b"gone".as_slice()));
    let sent = server.received_requests().await.expect("recorded").remove(0);
    assert_eq!((sent.url.query(), sent.body.as_slice()), (Some("x=1&q=a+b%26c"), b"body".as_slice()));
    assert_eq!(sent.headers["x-key"], "k");
}

#[tokio::test]
async fn an_untrusted_diagram_reaches_no_private_address_under_any_name() {
    let server = server(&[("GET", "/", ResponseTemplate::new(200))]).await;
    let port = server.address().port();
    let loopback = format!("127.0.0.1:{port}");
    let mixed = format!("8.8.8.8:{port} 127.0.0.1:{port}");
    let names = Names::of(&[("inside.test", &[&loopback]), ("mixed.test", &[&mixed]), ("v6.test", &["[::1]:80"])]);
    let http = GuardedHttp::with_names(names);
    for host in
        ["127.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]", "localhost", "inside.test", "mixed.test", "v6.test"]
    {
        let url = format!("http://{host}:{port}/");
        let error = http.send(request(&url, submitted())).await.expect_err(host);
        assert_eq!(error.code(), "HOST_NOT_ALLOWED", "{host}");
        assert!(error.hint_text().is_some_and(|it| it.contains("dipeo trust")), "{host}");
    }
    assert!(seen(&server, "host").await.is_empty(), "nothing arrived");
    let url = format!("http://inside.test:{port}/");
    assert_eq!(http.send(request(&url, local())).await.expect("a local diagram may").status, 200);
}

#[tokio::test]
async fn a_name_that_changes_its_address_between_two_requests_is_checked_each_time() {
    let names = Names::of(&[("rebind.test", &["8.8.8.8:0", "127.0.0.1:0"])]);
    let resolver = client::Resolver { names, public_only: true };
    let name = || "rebind.test".parse().expect("a name");
    let first = resolver.resolve(name()).await.expect("a public address");
    assert_eq!(first.map(|it| it.to_string()).collect::<Vec<_>>(), ["8.8.8.8:0"]);
    let second = resolver.resolve(name()).await.err().expect("it turned to us");
    assert!(second.is::<client::NotPublic>(), "{second}");
}

#[tokio::test]
async fn credentials_and_bodies_do_not_follow_a_redirect_to_another_host() {
    let other = server(&[("GET", "/end", ResponseTemplate::new(200).set_body_string("there"))]).await;
    let away = format!("{}/end", other.uri());
    let first = server(&[
        ("GET", "/here", to("/there", 302)),
        ("GET", "/there", ResponseTemplate::new(200).set_body_string("here")),
        ("GET", "/away", to(&away, 307)),
        ("POST", "/away", to(&away, 307)),
        ("POST", "/see", to(&away, 303)),
    ])
    .await;
    let http = GuardedHttp::new();
    let call = |verb: &str, at: &str| {
        let mut request = request(format!("{}{at}", first.uri()), local());
        request.method = verb.to_owned();
        request.headers = vec![("X-Api-Key".into(), "key".into()), ("Accept".into(), "text/plain".into())];
        request.body = (verb == "POST").then(|| b"secret".to_vec());
        http.send(request)
    };
    assert_eq!(call("GET", "/here").await.expect("followed").body, b"here");
    let same_host =
        [("GET /here".to_owned(), Some("key".to_owned())), ("GET /there".to_owned(), Some("key".to_owned()))];
    assert_eq!(seen(&first, "x-api-key").await, same_host);
    assert_eq!(call("GET", "/away").await.expect("followed").body, b"there");
    assert_eq!(call("POST", "/see").await.expect("followed as GET").body, b"there");
    let refused = call("POST", "/away").await.expect_err("the body stays");
    assert_eq!((refused.code(), refused.is_retryable()), ("HTTP_FAILED", false));
    assert_eq!(seen(&other, "x-api-key").await, vec![("GET /end".to_owned(), None); 2]);
    let accepted = seen(&other, "accept").await;
    assert!(accepted.iter().all(|(_, it)| it.as_deref() == Some("text/plain")), "{accepted:?}");
}

#[tokio::test]
async fn a_redirect_is_checked_like_a_first_address_and_ends() {
    let first = server(&[
        ("GET", "/file", to("file:///etc/passwd", 302)),
        ("GET", "/circle", to("/circle", 302)),
        ("GET", "/nothing", ResponseTemplate::new(302)),
    ])
    .await;
    let http = GuardedHttp::new();
    for (at, part) in [("/file", "`file:` address"), ("/circle", "more than 10 times")] {
        let error = http.send(request(format!("{}{at}", first.uri()), local())).await.expect_err(at);
        assert_eq!(error.code(), "HTTP_FAILED", "{at}");
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(http.send(request(format!("{}/nothing", first.uri()), local())).await.expect("kept").status, 302);
    let hop = Hop {
        method: Method::GET,
        url: Url::parse("https://example.com/").expect("an address"),
        headers: HeaderMap::new(),
        body: None,
    };
    let response = http.clients.get(true).expect("a client").get(format!("{}/circle", first.uri())).send();
    let response = response.await.expect("an answer");
    let Ok(Step::Next(next)) = redirect::follow(hop, &response) else { panic!("it is followed") };
    assert_eq!(next.url.as_str(), "https://example.com/circle");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_without_the_secrets_in_it() {
    let http = GuardedHttp::new();
    let with_header = |name: &str, value: &str| {
        let mut request = request("http://127.0.0.1:1/", local());
        request.headers = vec![(name.to_owned(), value.to_owned())];
        request
    };
    for (request, part, retryable) in [
        (request("example.com/canary", local()), "no web address", false),
        (request("ftp://canary@example.com/", local()), "`ftp:`", false),
        (with_header("X\r\nY", "1"), "no name of a header", false),
        (with_header("X-Y", "canary\r\nZ: 1"), "`x-y`", false),
        (request("http://user:canary@127.0.0.1:1/canary?canary", local()), "cannot be reached", true),
    ] {
        let error = http.send(request).await.expect_err(part);
        assert_eq!((error.code(), error.is_retryable()), ("HTTP_FAILED", retryable), "{part}");
        assert!(error.message().contains(part), "{error}");
        let all = format!("{} {} {error:?}", error.chain(), error.to_json());
        assert!(!all.contains("canary"), "{all}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_slow_or_too_large_fails() {
    let large = ResponseTemplate::new(200).set_body_bytes(vec![0_u8; limits::HTTP_REPLY_BYTES_MAX + 1]);
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let server = server(&[("GET", "/large", large), ("GET", "/slow", slow)]).await;
    let http = GuardedHttp::new();
    let error = http.send(request(format!("{}/large", server.uri()), local())).await.expect_err("too large");
    assert_eq!((error.code(), error.is_retryable()), ("HTTP_FAILED", false));
    let mut slow = request(format!("{}/slow", server.uri()), local());
    slow.timeout = Duration::from_millis(20);
    let error = http.send(slow).await.expect_err("too slow");
    assert!(error.message().contains("within 0.02 s") && error.is_retryable(), "{error}");
}

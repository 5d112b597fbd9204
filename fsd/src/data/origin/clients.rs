//! Clients: one for plain HTTP, and those for TLS, made when they are first needed. Reading the machine's certificates
//! takes longer than all else that a new worker does before it serves.

use std::{sync::OnceLock, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};

use super::{
    OriginError,
    exchange::{Connection, USER_AGENT, root_cause},
};

pub(super) struct Clients {
    plain: Client,
    tls: OnceLock<Client>,
    /// Keeps no connection.
    tls_anew: OnceLock<Client>,
    connect: Duration,
}

/// Connections that are kept for one host.
const KEPT: usize = 32;

impl Clients {
    pub(super) fn new(connect: Duration) -> Result<Self, OriginError> {
        // Fails only when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let plain = built(builder(connect, KEPT).tls_certs_only([]))?;
        Ok(Self { plain, tls: OnceLock::new(), tls_anew: OnceLock::new(), connect })
    }

    /// The one that may ask `url`.
    pub(super) async fn of(&self, url: &Url, connection: Connection) -> Result<&Client, OriginError> {
        if url.scheme() != "https" {
            return Ok(&self.plain);
        }
        let (place, kept) = match connection {
            Connection::Kept => (&self.tls, KEPT),
            Connection::New => (&self.tls_anew, 0),
        };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        // Two who come at once both read them; one is kept.
        let connect = self.connect;
        let made = tokio::task::spawn_blocking(move || built(builder(connect, kept))).await;
        let client = made.map_err(|error| OriginError::Client(error.to_string()))??;
        Ok(place.get_or_init(|| client))
    }
}

fn builder(connect: Duration, kept: usize) -> ClientBuilder {
    Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(connect)
        .pool_max_idle_per_host(kept)
        .user_agent(USER_AGENT)
}

fn built(builder: ClientBuilder) -> Result<Client, OriginError> {
    builder.build().map_err(|error| OriginError::Client(root_cause(&error)))
}

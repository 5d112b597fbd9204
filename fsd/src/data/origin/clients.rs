//! Clients: one for plain HTTP, and one for TLS that is made when it is first needed. Reading the machine's certificates
//! takes longer than all else that a new worker does before it serves.

use std::{sync::OnceLock, time::Duration};

use reqwest::{Client, ClientBuilder, Url, redirect::Policy};

use super::{
    OriginError,
    exchange::{USER_AGENT, root_cause},
};

pub(super) struct Clients {
    plain: Client,
    tls: OnceLock<Client>,
    connect: Duration,
}

impl Clients {
    pub(super) fn new(connect: Duration) -> Result<Self, OriginError> {
        // Fails only when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let plain = built(builder(connect).tls_certs_only([]))?;
        Ok(Self { plain, tls: OnceLock::new(), connect })
    }

    /// The one that may ask `url`.
    pub(super) async fn of(&self, url: &Url) -> Result<&Client, OriginError> {
        if url.scheme() != "https" {
            return Ok(&self.plain);
        }
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        // Two who come at once both read them; one is kept.
        let connect = self.connect;
        let made = tokio::task::spawn_blocking(move || built(builder(connect))).await;
        let client = made.map_err(|error| OriginError::Client(error.to_string()))??;
        Ok(self.tls.get_or_init(|| client))
    }
}

fn builder(connect: Duration) -> ClientBuilder {
    Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(connect)
        .pool_max_idle_per_host(32)
        .user_agent(USER_AGENT)
}

fn built(builder: ClientBuilder) -> Result<Client, OriginError> {
    builder.build().map_err(|error| OriginError::Client(root_cause(&error)))
}

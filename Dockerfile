# The image of Ephemint: `docker build --build-arg EPHEMINT_COMMIT="$(git rev-parse --short=12 HEAD)" -t ephemint .`
#
# Both stages are Debian 12, so that the program meets the C library that it was linked with. OpenSSL is needed to build josekit. The
# runtime image has no shell, no package manager and no version tags: its digest is the only exact name. Raise it from time to time.

FROM rust:1.95.0-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libssl-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src

# The dependencies alone, with an empty program: a layer that lasts until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN sed -n 's/^path = "\(.*\)"$/\1/p' Cargo.toml > targets \
    && while read -r target; do \
        mkdir -p "${target%/*}" && echo 'fn main() {}' > "$target" || exit 1; \
    done < targets \
    && cargo build --release --locked \
    && cargo clean --release --locked --package ephemint

COPY build.rs ./
COPY gateways gateways
COPY sql sql
COPY src src
ARG EPHEMINT_COMMIT=unknown
RUN cargo build --release --locked

FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
ARG EPHEMINT_COMMIT=unknown
LABEL org.opencontainers.image.title="Ephemint" \
      org.opencontainers.image.description="Revocable sessions in Postgres, exchanged at the gateway for very short-lived JWTs" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$EPHEMINT_COMMIT" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/target/release/ephemint /usr/local/bin/ephemint
USER 65532:65532
# Public, gateway and admin listener, where the settings keep these ports.
EXPOSE 8080 8081 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/usr/local/bin/ephemint", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/ephemint"]
CMD ["serve"]

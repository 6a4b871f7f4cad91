# syntax=docker/dockerfile:1
# Vestibule as it is served: one binary, no shell needed, no root, a read-only root file system.
# Only /data is written to (the seal keys). Postgres and Redis are given by URL: see compose.yaml.

FROM rust:1.95-bookworm AS build
# For the second opinion on every SAML signature: xmlsec1's headers, and libclang to read them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libxmlsec1-dev libclang-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package vestibule --bin vestibule --no-default-features --features second-opinion,otlp \
 && cp target/release/vestibule /vestibule && strip /vestibule

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libxmlsec1-openssl \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -m 0700 -o 10001 -g 10001 /data
COPY --from=build /vestibule /usr/local/bin/vestibule
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV VESTIBULE_LISTEN=0.0.0.0:8080 \
    VESTIBULE_DATA_DIR=/data \
    VESTIBULE_LOG__FORMAT=json
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["vestibule", "check-health"]
ENTRYPOINT ["vestibule"]
CMD ["serve"]

# Both programs, alone: static binaries, nobody's rights, no shell.
#
#   docker build -t upgrademock .
#   docker run --rm -p 8480:8480 -p 8443:8443 -p 2200:2200 -p 2201:2201 -p 8481:8481 upgrademock
#
# Further flags of `serve` go to the end, or into variables: UPGRADEMOCK_SERVE_CLOCK=virtual. Other commands: docker run --rm --entrypoint /upgrademock upgrademock conformance …
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -o /out/bin/ \
      -ldflags="-s -w -X github.com/upgrademock/upgrademock/internal/version.release=$VERSION" \
      ./cmd/upgrademock ./cmd/odoo-upgrade \
    && mkdir -p /out/dirs/data /out/dirs/tmp \
    # for a user of whatever number in the group 0, as OpenShift starts it
    && chmod 0770 /out/dirs/data && chmod 1777 /out/dirs/tmp

FROM scratch
ARG VERSION=
LABEL org.opencontainers.image.title=upgrademock \
      org.opencontainers.image.description="A local emulator of the Odoo Database Upgrade platform" \
      org.opencontainers.image.source=https://github.com/upgrademock/upgrademock \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=$VERSION
COPY --from=build /out/bin/ /src/LICENSE /
# What is in a directory keeps its mode; a directory that COPY makes has 0755.
COPY --from=build --chown=65532:0 /out/dirs/ /
USER 65532:0
# /data keeps requests, dumps, the certificate authority (ca.pem) and the SSH host key. Mount it to keep or to read them.
VOLUME ["/data"]
ENV UPGRADEMOCK_SERVE_HTTP=0.0.0.0:8480 UPGRADEMOCK_SERVE_HTTPS=0.0.0.0:8443 UPGRADEMOCK_SERVE_SFTP=0.0.0.0:2200 \
    UPGRADEMOCK_SERVE_TRANSFER=0.0.0.0:2201 UPGRADEMOCK_SERVE_PROXY=0.0.0.0:8481 UPGRADEMOCK_SERVE_DATA_DIR=/data \
    UPGRADEMOCK_SERVE_READY_FILE=/data/ready.json
EXPOSE 8480 8443 2200 2201 8481
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["/upgrademock", "ready", "/data/ready.json"]
ENTRYPOINT ["/upgrademock", "serve"]

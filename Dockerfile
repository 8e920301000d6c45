# The gateway and its load-test tool: two static programs, the official client's bundle,
# certificates of authorities, licences, and nothing else. docs/deploy.md tells how to build
# and run it; e2e/image/run builds what is in it without a container engine.
#
# The images to build with. Whatever has Go (or npm) and authorities can stand in.
ARG GO_IMAGE=golang:1.26.8-trixie
ARG NODE_IMAGE=node:24-trixie-slim

# npm checks the bundle against the lock file.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS client
WORKDIR /client
COPY e2e/image/client/package.json e2e/image/client/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm \
    npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error

# It runs on the platform of the machine and compiles for the target: no emulation.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /build/src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
ARG REVISION
ARG COMMITTED
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    info=github.com/fanwire/fanwire/internal/buildinfo && \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -tags timetzdata \
      -ldflags "-s -w -X $info.version=$VERSION -X $info.revision=$REVISION -X $info.committed=$COMMITTED" \
      -o ../out/ . ./loadtest
RUN --mount=type=cache,target=/go/pkg/mod \
    GOOS=$TARGETOS GOARCH=$TARGETARCH sh e2e/image/licenses ../out/licenses . ./loadtest

# Not a base image but none: what a static program needs is three files, and there is
# nothing else to keep up to date.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=client /client/node_modules/socket.io/client-dist/ /client/
COPY --from=client /client/node_modules/socket.io/LICENSE /licenses/socket.io/LICENSE
COPY --from=build /build/out/ /
COPY e2e/image/passwd e2e/image/group /etc/

# The ports are those of docs/serve.md; the one of operators is for a network of theirs.
ENV FANWIRE_LISTEN_ADDRESS=:3000 \
    FANWIRE_ADMIN_ADDRESS=:3001 \
    FANWIRE_SOCKETIO_CLIENT_DIR=/client
EXPOSE 3000 3001 3002
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/fanwire", "health"]
ENTRYPOINT ["/fanwire"]
CMD ["serve"]

# Last, for they are new with each build.
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="Fanwire" \
      org.opencontainers.image.description="A Socket.IO cluster: official clients, several nodes, Redis" \
      org.opencontainers.image.url="https://github.com/fanwire/fanwire" \
      org.opencontainers.image.source="https://github.com/fanwire/fanwire" \
      org.opencontainers.image.documentation="https://github.com/fanwire/fanwire/tree/main/docs" \
      org.opencontainers.image.vendor="Fanwire" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# elmod in an image with its own libraries only: no shell, no package manager, not root.
#
#     docker build -t elmod .
#     docker run --rm --read-only --cap-drop ALL -p 8080:8080 elmod
#
# For another model: -v "$PWD/my.safetensors:/model.safetensors:ro" -e ELMOD_MODEL=/model.safetensors
FROM debian:12-slim AS build
WORKDIR /src
COPY deploy/install deploy/packages.txt deploy/
RUN deploy/install build
COPY . .
# git must not see the files that .dockerignore leaves out as deleted, or elmod's commit would end in "-dirty".
RUN git ls-files -z --deleted -- 'model/weights/*.softmax.safetensors' | \
        git update-index -z --assume-unchanged --stdin || true
RUN meson setup --buildtype=release build/image && ninja -C build/image server/elmod && \
    strip build/image/server/elmod

# elmod and the Debian libraries that it loads, with the entries of their packages in dpkg's
# database, where scanners look for versions.
FROM debian:12-slim AS collect
COPY --from=build /src/deploy/install /src/deploy/packages.txt /deploy/
RUN /deploy/install run
COPY --from=build /src/build/image/server/elmod /usr/local/bin/elmod
COPY deploy/collect /deploy/
RUN /deploy/collect /usr/local/bin/elmod /image

# The bulk tool in an image of the same kind: docker build --target elmo-embed -t elmo-embed .
FROM build AS build-embed
RUN ninja -C build/image model/embed/elmo-embed && strip build/image/model/embed/elmo-embed

FROM debian:12-slim AS collect-embed
COPY --from=build-embed /src/deploy/install /src/deploy/packages.txt /deploy/
RUN /deploy/install run-embed
COPY --from=build-embed /src/build/image/model/embed/elmo-embed /usr/local/bin/elmo-embed
COPY deploy/collect /deploy/
RUN /deploy/collect /usr/local/bin/elmo-embed /image

FROM scratch AS elmo-embed
COPY --from=collect-embed /image /
LABEL org.opencontainers.image.title="elmo-embed" \
    org.opencontainers.image.description="ELMo vectors of text files" \
    org.opencontainers.image.licenses="MIT"
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/elmo-embed"]

# Training on many machines: docker build --target elmo-train -t elmo-train .
# mpirun needs a shell and, on the other machines, sshd.
FROM build AS build-train
RUN deploy/install build-train && meson setup --buildtype=release -Dmpi=enabled build/train && \
    ninja -C build/train model/train/elmo-train && strip build/train/model/train/elmo-train

FROM debian:12-slim AS elmo-train
COPY --from=build-train /src/deploy/install /src/deploy/packages.txt /deploy/
RUN /deploy/install run-train && rm -rf /deploy /var/lib/apt/lists/* /etc/ssh/ssh_host_* && \
    groupadd --gid 65532 elmo && useradd --uid 65532 --gid elmo --create-home --shell /bin/sh elmo
COPY --from=build-train /src/deploy/pretrain/ssh_config /etc/ssh/ssh_config.d/elmo.conf
COPY --from=build-train /src/deploy/pretrain/sshd_config /etc/ssh/sshd_elmo_config
COPY --from=build-train /src/deploy/pretrain/pretrain-ranks \
    /src/build/train/model/train/elmo-train /usr/local/bin/
LABEL org.opencontainers.image.title="elmo-train" \
    org.opencontainers.image.description="Trains ELMo weights" \
    org.opencontainers.image.licenses="MIT"
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/elmo-train"]

# The service. It is built unless another target is named.
FROM scratch
COPY --from=collect /image /
LABEL org.opencontainers.image.title="elmod" \
    org.opencontainers.image.description="ELMo vectors and sentiment over HTTP" \
    org.opencontainers.image.licenses="MIT"
USER 65532:65532
ENV ELMOD_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/elmod"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/elmod", "--health-check"]

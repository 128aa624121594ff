# docker build -t ul-proxy .
#
# Behind a mirror: --build-arg PYTHON_IMAGE=mirror.example.com/python:3.13.16-slim-trixie
# Another package index: --secret id=pip.conf,src=/etc/pip.conf
ARG PYTHON_IMAGE=docker.io/library/python:3.13.16-slim-trixie

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# What is installed has the hashes of the lock files, and nothing of it is built here, which would fetch what is not locked.
COPY locks/runtime.txt locks/build.txt locks/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv --without-pip /opt/ul-proxy && \
    locked="install --no-cache-dir --no-compile --require-hashes --only-binary=:all:" && \
    pip="python -m pip --disable-pip-version-check --quiet" && \
    $pip $locked --target /opt/build --requirement locks/build.txt && \
    $pip --python /opt/ul-proxy/bin/python $locked --requirement locks/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY config/defaults.toml config/
COPY proxy/ proxy/
RUN PYTHONPATH=/opt/build python -m pip --python /opt/ul-proxy/bin/python --disable-pip-version-check --quiet \
        install --no-cache-dir --no-compile --no-index --no-deps --no-build-isolation .
# botocore describes every service of AWS; two of them are spoken to.
RUN find /opt/ul-proxy/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 \
        -type d ! -name cognito-idp ! -name cognito-identity -exec rm -r {} +
# Python's images leave out the bytecode of its own library, and a container that cannot write would compile it at every
# start and every health check, which takes longer than all the rest.
ENV PYTHONPYCACHEPREFIX=/opt/ul-proxy/bytecode
RUN compile="python -m compileall -q --invalidation-mode unchecked-hash" && \
    $compile /opt/ul-proxy/lib && \
    $compile -x '/(site-packages|dist-packages|ensurepip|idlelib|lib2to3|pydoc_data|test|tests|tkinter|turtledemo)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
RUN mkdir /state && chown 10001:10001 /state && chmod 0700 /state

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="unleash-live-proxy" \
      org.opencontainers.image.description="Signs in to Unleash Live and adds a fresh token to every request." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=build /opt/ul-proxy /opt/ul-proxy
# Where `ul-proxy login` keeps a session: mount a volume there. Nothing else is ever written.
COPY --from=build --chown=10001:10001 /state /var/lib/ul-proxy
# The config file is /etc/ul-proxy/config.toml.
ENV PATH=/opt/ul-proxy/bin:$PATH \
    PYTHONPYCACHEPREFIX=/opt/ul-proxy/bytecode \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CONFIG_HOME=/etc \
    XDG_STATE_HOME=/var/lib
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Inside a container, loopback is the pod's or the shared network namespace's: run it beside the tool that calls it.
ENTRYPOINT ["ul-proxy"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["ul-proxy", "wait", "--max", "2s"]

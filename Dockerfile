# samekind as a service: `docker build -t samekind .`, then see docs/service.md.
# Two stages, so that neither pip's cache nor the sources stay in what runs. It holds no torch and no build tools.

FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/samekind \
    && /opt/samekind/bin/pip install --no-cache-dir --disable-pip-version-check '.[serve,postgres]' \
    && /opt/samekind/bin/pip uninstall --yes --disable-pip-version-check pip setuptools

FROM python:3.11-slim
RUN groupadd --gid 10001 samekind \
    && useradd --uid 10001 --gid samekind --no-create-home --home-dir /data --shell /usr/sbin/nologin samekind \
    && install --directory --owner samekind --group samekind --mode 0700 /data
COPY --from=build /opt/samekind /opt/samekind
# The root file system may be read-only: nothing is written but the gallery and the keys, in /data.
ENV PATH=/opt/samekind/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["samekind"]
# Others can reach a container's port, so it needs keys: samekind keys create NAME --scope SCOPE
CMD ["serve", "--host", "0.0.0.0", "--keys", "samekind-keys.json"]

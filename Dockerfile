FROM python:3.13-slim AS build

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .
# Editable, so that the package finds the migrations beside it.
RUN pip install --no-deps --no-build-isolation --editable .


FROM python:3.13-slim

RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin webhook \
 && install --directory --owner webhook --group webhook --mode 700 /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY . .
ENV PATH=/opt/venv/bin:$PATH BIND=0.0.0.0:8000 DATA_DIR=/data
USER 10001:10001
EXPOSE 8000

# Ready, not live: Docker restarts nothing for being unhealthy, it only tells those who wait for the service
# whether the next delivery can be stored. http.client, since urllib would ask a proxy that the environment names.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "\
import http.client, sys; \
connection = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); \
connection.request('GET', '/health/ready'); \
sys.exit(connection.getresponse().status != 200)"]

CMD ["gunicorn", "wsgi:app"]

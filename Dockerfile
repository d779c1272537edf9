# The site as a container: the web server, or with another command a queue server.
#
#   docker build --tag sumsite .
#   docker run --network sumsite --name web --env-file production.env sumsite
#   docker run --network sumsite --env-file production.env --init --health-cmd "python manage.py health_check --worker" sumsite python manage.py qcluster
#
# Nobody but a proxy that takes requests in whole may ask the web server: deploy/nginx.conf and
# deploy/Caddyfile are two. compose.yaml starts all of it.

FROM python:3.13-slim-bookworm AS packages
WORKDIR /site
COPY requirements.txt ./
RUN python -m venv /venv && /venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.txt

FROM python:3.13-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /site
COPY --from=packages /venv /venv
COPY . ./
# The secret is for this step alone: nothing is signed in it.
RUN SECRET_KEY=unused python manage.py collectstatic --no-input && useradd --system --uid 10001 site
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/healthz', timeout=4)"]
CMD ["gunicorn", "sumsite.wsgi"]

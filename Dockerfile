FROM python:3.13-slim
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt . && useradd --system ul-proxy
USER ul-proxy
# Inside a container, loopback is the pod's or the shared network namespace's: run it beside the tool that calls it.
ENTRYPOINT ["ul-proxy"]
CMD ["serve"]

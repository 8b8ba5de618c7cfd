# Every image of Slipway. `invoke build` sets the variables; `docker buildx bake --print` shows the outcome.

variable "REGISTRY" {
  default = "localhost:5000"
}

# The base image that host.prepare makes. Everything else is built from it, so there is one Debian to watch.
variable "BASE" {
  default = "slipway/base:trixie"
}

# What the root image for the base is called while the base is made from it.
variable "BASE_ROOT" {
  default = "slipway/base-root:trixie"
}

variable "BASE_ORIGIN" {
  default = "unknown"
}

# Lines of a Debian source list; empty keeps the list that the root image has.
variable "BASE_SOURCES" {
  default = ""
}

variable "VERSION" {
  default = "0.1.0"
}

# A tag is the hash of an image's inputs, so an image whose tag is in the registry need not be built.
variable "TAG_BACKEND" {
  default = "local"
}

variable "TAG_BACKUP" {
  default = "local"
}

variable "TAG_EDGE" {
  default = "local"
}

variable "TAG_ETCD" {
  default = "local"
}

variable "TAG_LOGS" {
  default = "local"
}

variable "TAG_MONITORING" {
  default = "local"
}

variable "TAG_POSTGRES" {
  default = "local"
}

variable "TAG_TOOLBOX" {
  default = "local"
}

# The revisions of the database's schema that the backend brings, each as NAME:PHASE. `invoke build` reads them from the sources.
variable "SCHEMA" {
  default = ""
}

# The builtin embedding model: int8, or fp32 for hosts with AMX, which embed with it twice as fast.
variable "MODEL_PRECISION" {
  default = "int8"
}

# A site's own Python package index. Empty means the tools' default.
variable "UV_DEFAULT_INDEX" {
  default = ""
}

variable "PYTHON_INDEX_URL" {
  default = UV_DEFAULT_INDEX
}

# A site's proxy, under the names that every tool knows. BuildKit keeps them out of the images.
variable "HTTP_PROXY" {
  default = ""
}

variable "HTTPS_PROXY" {
  default = ""
}

variable "NO_PROXY" {
  default = ""
}

# The certificate authorities that this host trusts: a site behind a TLS-inspecting proxy needs its own.
variable "CA_BUNDLE" {
  default = "/etc/ssl/certs/ca-certificates.crt"
}

group "default" {
  targets = ["backend", "backup", "edge", "etcd", "logs", "monitoring", "postgres", "toolbox"]
}

# Built once per host by host.prepare, never pushed.
group "host" {
  targets = ["base", "registry"]
}

target "common" {
  args = {
    BASE    = BASE
    VERSION = VERSION

    HTTP_PROXY  = HTTP_PROXY
    HTTPS_PROXY = HTTPS_PROXY
    NO_PROXY    = NO_PROXY
  }
  secret = ["id=ca,src=${CA_BUNDLE}"]
}

target "python" {
  inherits   = ["common"]
  dockerfile = "../Dockerfile"
  contexts = {
    requirements = "requirements"
  }
  args = {
    PYTHON_INDEX_URL = PYTHON_INDEX_URL
  }
}

target "backend" {
  inherits = ["python"]
  context  = "services/backend"
  target   = "backend"
  args = {
    SERVICE = "backend"
    MODEL   = "builtin"
    SCHEMA  = SCHEMA

    MODEL_PRECISION = MODEL_PRECISION
  }
  tags = ["${REGISTRY}/slipway/backend:${TAG_BACKEND}"]
}

target "backup" {
  inherits = ["python"]
  context  = "services/backup"
  target   = "backup"
  args = {
    SERVICE = "backup"
  }
  tags = ["${REGISTRY}/slipway/backup:${TAG_BACKUP}"]
}

target "monitoring" {
  inherits = ["python"]
  context  = "services/monitoring"
  target   = "monitoring"
  args = {
    SERVICE = "monitoring"
  }
  tags = ["${REGISTRY}/slipway/monitoring:${TAG_MONITORING}"]
}

target "edge" {
  inherits = ["common"]
  context  = "infra/nginx"
  tags     = ["${REGISTRY}/slipway/edge:${TAG_EDGE}"]
}

target "etcd" {
  inherits = ["common"]
  context  = "infra/etcd"
  tags     = ["${REGISTRY}/slipway/etcd:${TAG_ETCD}"]
}

target "logs" {
  inherits = ["common"]
  context  = "infra/logs"
  tags     = ["${REGISTRY}/slipway/logs:${TAG_LOGS}"]
}

target "postgres" {
  inherits = ["common"]
  context  = "infra/postgres"
  tags     = ["${REGISTRY}/slipway/postgres:${TAG_POSTGRES}"]
}

target "toolbox" {
  inherits = ["common"]
  context  = "infra/toolbox"
  tags     = ["${REGISTRY}/slipway/toolbox:${TAG_TOOLBOX}"]
}

# Compiled, which takes a quarter of an hour: made when it is asked for by name.
target "llm" {
  inherits = ["common"]
  context  = "infra/llm"
  contexts = {
    requirements = "requirements"
  }
  args = {
    PYTHON_INDEX_URL = PYTHON_INDEX_URL
  }
  tags = ["${REGISTRY}/slipway/llm:local"]
}

target "base" {
  inherits = ["common"]
  context  = "infra/base"
  args = {
    BASE_ROOT    = BASE_ROOT
    BASE_ORIGIN  = BASE_ORIGIN
    BASE_SOURCES = BASE_SOURCES
  }
  tags = [BASE]
}

target "registry" {
  inherits = ["common"]
  context  = "infra/registry"
  tags     = ["slipway/registry:local"]
}

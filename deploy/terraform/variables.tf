variable "project" {
  description = "Project id, not its number, of the persistent resources, the database and the topics."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lowercase letters, digits and dashes; a project number is not taken."
  }
}

variable "regions" {
  description = "Vertex AI regions to serve. The functions and the database are in the first."
  type        = list(string)
  validation {
    condition     = length(var.regions) > 0 && alltrue([for r in var.regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", r))])
    error_message = "Name at least one region, such as us-central1."
  }
  validation {
    condition     = length(distinct(var.regions)) == length(var.regions)
    error_message = "A region is named twice."
  }
}

variable "prefix" {
  description = "Beginning of every name. Two installations in one project need two prefixes."
  type        = string
  default     = "berth"
  validation {
    # A database id has at least 4 characters, a service account id at most 30.
    condition     = can(regex("^[a-z][a-z0-9-]{2,18}[a-z0-9]$", var.prefix))
    error_message = "Want 4 to 20 lowercase letters, digits and dashes."
  }
}

variable "default_resource" {
  description = "Persistent resource of requests that name none: id or full name. Without it they are refused."
  type        = string
  default     = ""
  validation {
    condition     = var.default_resource == "" || can(regex("^(projects/[a-z0-9-]+/locations/[a-z0-9-]+/persistentResources/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.default_resource))
    error_message = "Want an id or projects/P/locations/L/persistentResources/ID."
  }
}

variable "job_service_accounts" {
  description = "E-mails of the service accounts that jobs may run as."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for a in var.job_service_accounts : can(regex("^[a-z0-9.-]+@[a-z0-9.-]+\\.gserviceaccount\\.com$", a))])
    error_message = "Want e-mails of service accounts."
  }
}

variable "publishers" {
  description = "Principals that may publish requests of the tenant \"default\"."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.publishers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):[A-Za-z0-9@._/:*+-]+$", m))])
    error_message = "Want members such as user:, group: or serviceAccount: with an address; allUsers is never one."
  }
}

variable "tenants" {
  description = "Tenants beside \"default\", each with a request topic of its own and the principals that may publish there."
  type        = map(object({ publishers = optional(set(string), []) }))
  default     = {}
  validation {
    condition     = alltrue([for name, t in var.tenants : can(regex("^[a-z0-9][a-z0-9-]{0,61}$", name)) && !contains(["default", "operators"], name)])
    error_message = "A tenant's name has at most 62 lowercase letters, digits and dashes. \"default\" has the first request topic, and \"operators\" is no tenant."
  }
  validation {
    condition     = alltrue(flatten([for t in values(var.tenants) : [for m in t.publishers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):[A-Za-z0-9@._/:*+-]+$", m))]]))
    error_message = "Want members such as user:, group: or serviceAccount: with an address; allUsers is never one."
  }
}

variable "operators" {
  description = "Principals that may pause, drain and resume persistent resources and act on the requests of all tenants."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.operators : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):[A-Za-z0-9@._/:*+-]+$", m))])
    error_message = "Want members such as user:, group: or serviceAccount: with an address; allUsers is never one."
  }
}

variable "status_users" {
  description = "Principals that may call the Status function. Whose requests it shows to whom is set by settings BERTH_STATUS_OPERATORS and BERTH_STATUS_CALLERS."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.status_users : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):[A-Za-z0-9@._/:*+-]+$", m))])
    error_message = "Want members such as user:, group: or serviceAccount: with an address; allUsers is never one."
  }
}

variable "settings" {
  description = "Further settings of the functions by name, BERTH_NAME = VALUE. deploy/settings.md lists them."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for name, value in var.settings : contains(local.known_settings, name)])
    error_message = "The functions ignore a setting that they do not know; deploy/settings.md lists all."
  }
  validation {
    condition     = alltrue([for name, value in var.settings : !contains(local.managed_settings, name)])
    error_message = "These follow from other variables of this configuration: ${join(", ", local.managed_settings)}."
  }
  validation {
    condition     = alltrue([for name, value in var.settings : !contains(local.local_settings, name)])
    error_message = "These are for machines without a cloud: ${join(", ", local.local_settings)}."
  }
  validation {
    condition     = contains(["debug", "info"], lower(lookup(var.settings, "BERTH_LOG_LEVEL", "info")))
    error_message = "Alerts, metrics and objectives count log records of level info, so BERTH_LOG_LEVEL has to be info or debug."
  }
}

variable "log_sink" {
  description = "Sends log entries of jobs to Berth as hints, so that it learns of ended jobs before the next tick."
  type        = bool
  default     = true
}

variable "runtime" {
  description = "Functions runtime. One lives about a year before it is deprecated."
  type        = string
  default     = "go126"
  validation {
    condition     = can(regex("^go[0-9]+$", var.runtime))
    error_message = "Want a Go runtime such as go126."
  }
}

variable "max_instances" {
  description = "Most instances of Admit. Times 20 requests each, it bounds how many decide at once."
  type        = number
  default     = 10
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 100 && floor(var.max_instances) == var.max_instances
    error_message = "Want 1 to 100."
  }
}

variable "min_instances" {
  description = "Instances of Admit that always run. 1 spares the first request of a quiet time its cold start."
  type        = number
  default     = 0
  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= var.max_instances && floor(var.min_instances) == var.min_instances
    error_message = "Want 0 to max_instances."
  }
}

variable "submissions_per_minute" {
  description = "Jobs that Berth may submit per minute and region. Without it, the project's quota, which other submitters share."
  type        = number
  default     = null
  validation {
    condition     = var.submissions_per_minute == null ? true : var.submissions_per_minute >= 1 && var.submissions_per_minute <= 1000000 && floor(var.submissions_per_minute) == var.submissions_per_minute
    error_message = "Want 1 to 1000000."
  }
}

variable "protect_database" {
  description = "Guards the database against deletion. To delete it, apply once with false, then destroy."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "How long a daily backup is kept."
  type        = number
  default     = 14
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 98 && floor(var.backup_days) == var.backup_days
    error_message = "Firestore keeps a backup for 1 to 98 days."
  }
}

variable "notification_channels" {
  description = "Notification channels of all alerts, by full name (projects/P/notificationChannels/N). Without one, incidents show in the console only."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for c in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", c))])
    error_message = "Want projects/P/notificationChannels/N."
  }
}

variable "playbooks" {
  description = "Where the pages of deploy/playbooks can be read; each alert links to the page of its name."
  type        = string
  default     = ""
  validation {
    condition     = var.playbooks == "" || can(regex("^https://[^ ]*[^/ ]$", var.playbooks))
    error_message = "Want an https URL without a slash at its end."
  }
}

variable "collector_image" {
  description = "Image of an OpenTelemetry collector that takes OTLP over HTTP at port 4318, to run beside each function. Without one, traces and metrics are off."
  type        = string
  default     = ""
  validation {
    condition     = var.collector_image == "" || can(regex("^[a-z0-9./_-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.collector_image))
    error_message = "Want an image with a tag or a digest."
  }
}

variable "persistent_resources" {
  description = "Persistent resources to create, by id. Without any, Berth serves those that exist."
  type = map(object({
    region                 = string
    network                = optional(string)
    kms_key                = optional(string)
    custom_service_account = optional(bool, true)
    pools = list(object({
      machine_type      = string
      accelerator_type  = optional(string)
      accelerator_count = optional(number)
      replicas          = optional(number)
      min_replicas      = optional(number)
      max_replicas      = optional(number)
      disk_type         = optional(string, "pd-ssd")
      disk_gb           = optional(number, 100)
    }))
  }))
  default = {}
  validation {
    condition     = alltrue([for id, r in var.persistent_resources : contains(var.regions, r.region)])
    error_message = "Berth serves only the regions of the variable regions."
  }
}

variable "project" {
  description = "Project id."
  type        = string
}

variable "region" {
  description = "Vertex AI region."
  type        = string
}

variable "name" {
  description = "Id of the persistent resource."
  type        = string
  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.name))
    error_message = "Want 1 to 63 lowercase letters, digits and dashes."
  }
}

variable "network" {
  description = "Full name of the VPC network that it is peered with."
  type        = string
  default     = null
}

variable "kms_key" {
  description = "Full name of the key that encrypts it."
  type        = string
  default     = null
}

variable "custom_service_account" {
  description = "Whether each job brings a service account."
  type        = bool
  default     = true
}

variable "pools" {
  description = "Its pools: a fixed number of replicas, or the bounds of autoscaling."
  type = list(object({
    machine_type      = string
    accelerator_type  = optional(string)
    accelerator_count = optional(number)
    replicas          = optional(number)
    min_replicas      = optional(number)
    max_replicas      = optional(number)
    disk_type         = optional(string, "pd-ssd")
    disk_gb           = optional(number, 100)
  }))
  validation {
    condition     = length(var.pools) > 0
    error_message = "A persistent resource has at least one pool."
  }
  validation {
    condition     = alltrue([for p in var.pools : (p.replicas == null) != (p.max_replicas == null) && (p.min_replicas == null) == (p.max_replicas == null)])
    error_message = "Give a pool either replicas, or both min_replicas and max_replicas."
  }
  validation {
    condition     = alltrue([for p in var.pools : p.max_replicas == null ? true : p.min_replicas >= 1 && p.min_replicas <= p.max_replicas])
    error_message = "min_replicas is at least 1 and at most max_replicas."
  }
  validation {
    condition     = alltrue([for p in var.pools : contains(["pd-ssd", "pd-standard", "hyperdisk-balanced"], p.disk_type)])
    error_message = "A disk type is pd-ssd, pd-standard or hyperdisk-balanced."
  }
  validation {
    condition     = alltrue([for p in var.pools : (p.accelerator_type == null) == (p.accelerator_count == null)])
    error_message = "Give accelerator_type and accelerator_count together."
  }
}

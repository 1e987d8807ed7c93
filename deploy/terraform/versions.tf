terraform {
  # 1.9 lets a validation refer to other variables and to locals.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.42, < 8"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
  }
}

provider "google" {
  project = var.project
  region  = local.region
}

# Some APIs bill a quota project for each call of a user, and refuse the call without one.
# For all resources that would need Resource Manager's API before it is enabled here.
provider "google" {
  alias                 = "with_quota_project"
  project               = var.project
  region                = local.region
  billing_project       = var.project
  user_project_override = true
}

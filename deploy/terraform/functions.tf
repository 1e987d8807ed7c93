locals {
  functions = {
    # Instances times concurrency bounds how many decide at once.
    admit = { entry = "Admit", timeout = 120, max = var.max_instances, min = var.min_instances, concurrency = 20, ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
    # One instance is enough, but not one request: a pass takes most of a minute, and
    # hints that arrive meanwhile would all be refused.
    reconcile = { entry = "Reconcile", timeout = 120, max = 1, min = 0, concurrency = 8, ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
    status    = { entry = "Status", timeout = 60, max = 2, min = 0, concurrency = 20, ingress = "INGRESS_TRAFFIC_ALL" }
  }
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = local.region
  repository_id = var.prefix
  format        = "DOCKER"

  depends_on = [google_project_service.this]
}

# The one build. Only a function of this kind builds from source: a Cloud Run service
# takes a build_config and never runs it. No member may call this function. The three
# services below run its image, each with an entry point of its own.
resource "google_cloudfunctions2_function" "build" {
  name     = "${var.prefix}-build"
  project  = var.project
  location = local.region

  build_config {
    runtime           = var.runtime
    entry_point       = local.functions.status.entry
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id
    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
    # The image has its operating system in it. Under automatic updates it would lack
    # that, and the services below could not run it.
    on_deploy_update_policy {}
  }

  # It has no settings, because each change of one would build again, and no rights
  # beyond those of the build.
  service_config {
    available_cpu         = "1"
    available_memory      = "512Mi"
    ingress_settings      = "ALLOW_INTERNAL_ONLY"
    max_instance_count    = 1
    service_account_email = google_service_account.build.email
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_sources,
    google_storage_bucket_iam_member.build,
  ]
}

data "google_cloud_run_v2_service" "build" {
  project  = var.project
  location = local.region
  name     = google_cloudfunctions2_function.build.name

  # A plan with a new build reads the image after it. Without this line it would read
  # that of the last build, and each apply would deploy the source of the one before.
  depends_on = [google_cloudfunctions2_function.build]
}

resource "google_cloud_run_v2_service" "function" {
  for_each = local.functions
  name     = "${var.prefix}-${each.key}"
  project  = var.project
  location = local.region
  ingress  = each.value.ingress

  # A service has no data of its own; the database is what is protected.
  deletion_protection = false

  template {
    service_account                  = google_service_account.run.email
    timeout                          = "${each.value.timeout}s"
    max_instance_request_concurrency = each.value.concurrency

    scaling {
      min_instance_count = each.value.min
      max_instance_count = each.value.max
    }

    containers {
      name  = "function"
      image = data.google_cloud_run_v2_service.build.template[0].containers[0].image

      # Of two containers one is to say that it takes the requests.
      ports {
        container_port = 8080
      }

      resources {
        limits = {
          cpu    = "1"
          memory = "512Mi"
        }
        cpu_idle          = true # billed per request
        startup_cpu_boost = true
      }

      # The process listens as soon as it has its settings and clients. The entry
      # points of pushes accept no GET, so the probe is one of TCP.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60
        tcp_socket {
          port = 8080
        }
      }

      dynamic "env" {
        for_each = merge(local.settings, {
          FUNCTION_TARGET = each.value.entry
          BERTH_TIMEOUT   = "${each.value.timeout}s"
        })
        content {
          name  = env.key
          value = env.value
        }
      }
    }

    dynamic "containers" {
      for_each = var.collector_image == "" ? [] : [var.collector_image]
      content {
        name  = "collector"
        image = containers.value

        resources {
          limits = {
            cpu    = "1"
            memory = "512Mi"
          }
          cpu_idle          = true
          startup_cpu_boost = true
        }
      }
    }
  }

  # A revision that starts without its rights fails its first requests.
  depends_on = [
    google_project_iam_member.jobs,
    google_project_iam_member.ledger,
    google_pubsub_topic_iam_member.outcomes,
  ]
}

locals {
  root = "${path.module}/../.."
  # The upload set: what the functions are built from, and nothing else.
  source_files = sort([
    for name in setunion(["function.go", "go.mod", "go.sum"], fileset(local.root, "internal/**")) : name
    if !endswith(name, "_test.go") && !strcontains(name, "/testdata/") && !strcontains("/${name}", "/.")
  ])
}

data "archive_file" "source" {
  type        = "zip"
  output_path = "${path.module}/.terraform/source.zip"

  dynamic "source" {
    for_each = local.source_files
    content {
      filename = source.value
      content  = file("${local.root}/${source.value}")
    }
  }
}

resource "google_storage_bucket" "source" {
  name                        = "${var.project}-${var.prefix}-source"
  project                     = var.project
  location                    = local.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true # it has nothing that a clone does not have

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  # The hash in the name makes a changed source a new build.
  name   = "${data.archive_file.source.output_sha256}.zip"
  source = data.archive_file.source.output_path
}

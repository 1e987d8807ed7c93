module "persistent_resource" {
  for_each = var.persistent_resources
  source   = "./persistent-resource"

  project                = var.project
  region                 = each.value.region
  name                   = each.key
  network                = each.value.network
  kms_key                = each.value.kms_key
  custom_service_account = each.value.custom_service_account
  pools                  = each.value.pools

  depends_on = [google_project_service.this]
}

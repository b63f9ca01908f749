# What a plan can cost at most: every machine for its whole lifetime. Traffic inside one zone over private addresses is
# free; what is fetched from the machines (results, a few MB) is below the free allowance.

locals {
  hours_per_month       = 730
  address_usd_per_hour  = 0.005 # public IPv4 address, since February 2024
  gib_usd_per_month     = 0.08  # gp3
  iops_usd_per_month    = 0.005 # each above 3000
  through_usd_per_month = 0.04  # each MiB/s above 125
  iops_in_the_price     = 3000
  through_in_the_price  = 125
  volume_usd_per_month = (
    var.volume_gib * local.gib_usd_per_month
    + (var.volume_iops - local.iops_in_the_price) * local.iops_usd_per_month
    + (var.volume_throughput - local.through_in_the_price) * local.through_usd_per_month
  )

  machines = var.broker_count + var.loadgen_count
  prices_known = alltrue([
    for type in [var.broker_type, var.loadgen_type] : contains(keys(var.prices_usd_per_hour), type)
  ])
  machines_usd_per_hour = (
    var.broker_count * lookup(var.prices_usd_per_hour, var.broker_type, 0)
    + var.loadgen_count * lookup(var.prices_usd_per_hour, var.loadgen_type, 0)
  )
  usd_per_hour = (
    local.machines_usd_per_hour
    + local.machines * (local.address_usd_per_hour + local.volume_usd_per_month / local.hours_per_month)
  )
  cost_usd = local.usd_per_hour * var.lifetime_minutes / 60
}

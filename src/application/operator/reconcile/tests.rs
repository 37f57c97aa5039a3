mod auditing;
mod leading;
mod rolling_out;
mod status;

# googleauth: Application Default Credentials.

require "googleauth"

credentials = Google::Auth.get_application_default(["https://www.googleapis.com/auth/cloud-platform"])
answer = credentials.fetch_access_token!
puts "version googleauth #{Gem::Specification.find_by_name("googleauth").version}"
puts "token #{answer["access_token"]}"

"""The site's addresses: the app's, and Django's admin."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = settings.SITE_NAME
admin.site.index_title = "Runs and tasks"

urlpatterns = [
    path("", include("compute.urls")),
    # The site's own page counts wrong passwords.
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/", admin.site.urls),
]

handler400 = "compute.web.replies.bad_request"
handler403 = "compute.web.replies.forbidden"
handler404 = "compute.web.replies.not_found"
handler500 = "compute.web.replies.server_error"

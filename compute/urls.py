"""The addresses of the tutorial, and three more."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    path("sum-sync/", views.SumView.as_view(), name="sum"),
    path("sum-start/", views.SumAsyncStartView.as_view(), name="sum-async-start"),
    path("sum-check/", views.SumAsyncProgressView.as_view(), name="sum-async-progress"),
    path("bug-sum-start/", views.BuggySumAsyncStartView.as_view(), name="buggy-sum-async-start"),
    path("split-sum-start/", views.SplitSumAsyncStartView.as_view(), name="split-sum-async-start"),
    path(
        "split-sum-check/",
        views.SplitSumAsyncProgressView.as_view(),
        name="split-sum-async-progress",
    ),
    path("healthz", views.HealthView.as_view(), name="healthz"),
    path("readyz", views.ReadyView.as_view(), name="readyz"),
]
